"""An evaluation's completions, examined without a model: whether they answer, whether they end, and which fell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.sampling.completions import summary_of
from orchestrator.sampling.strict_judge import too_strict
from orchestrator.stats import mcnemar, paired_difference
from orchestrator.types import Finding, Status

_SIGNIFICANT = 0.05
_MOST = 0.5
_ALL, _NONE, _SOME = 0.95, 0.02, 0.2
"""Shares: of completions with an answer, of correct ones at most, and of wrong ones that a reader would accept."""
_PAIRS = 10
"""Number of parsed answers shown next to the gold ones."""


@dataclass(frozen=True, slots=True)
class Written:
    """One completion of an evaluation."""

    example_id: str
    question: str
    gold: str
    text: str
    value: str | None
    status: Status
    finish_reason: str


def written_findings(model: str, rows: Sequence[Written], trained: bool, judge: str = "") -> Iterator[Finding]:
    """Symptoms in a trained model's completions; none for the base model (not `trained`), which may know nothing."""
    if not rows or not trained:
        return
    found = summary_of(row.status for row in rows)
    counts, n, answered = found.statuses, found.n, found.answered
    listed = ", ".join(f"{status} {number:,}" for status, number in counts.most_common())
    shown = "\n".join(f"{row.text[:160]!r} (expected {row.gold})" for row in rows[:3])
    cut = [row for row in rows if row.finish_reason == "length"]
    if len(cut) > _MOST * n:
        yield Finding(
            "never-stops",
            "error",
            f"model {model}: {len(cut):,} of {n:,} completions continue until they are cut off",
            f"{listed}\n" + "\n".join(f"...{row.text[-160:]!r}" for row in cut[:2]),
            "the end of text was never learned (masked together with the padding, or missing from the targets), or "
            "max_tokens is too small for an answer",
            "check the token view: the end of text must be trained on; then check max_tokens",
        )
    if answered == 0:
        yield Finding(
            "answer-rate-zero",
            "error",
            f"model {model}: none of {n:,} completions contains an answer",
            f"{listed}\n{shown}",
            "the model does not write its answer where the answer format looks for it",
            "compare the prompt and the target of training with those of evaluation (`orch check`, `orch ask`)",
        )
    elif (strict := too_strict(model, judge, [(r.value, r.gold, r.status) for r in rows])) is not None:
        yield strict
    elif counts["correct"] == 0:
        yield Finding(
            "accuracy-zero",
            "warning",
            f"model {model}: {answered:,} of {n:,} completions contain an answer, but none is correct",
            "\n".join(
                [listed, *[f"parsed {r.value[:80]!r}, expected {r.gold[:80]!r}" for r in rows if r.value][:_PAIRS]]
            ),
            "the model has learned the form but not the content: too little training, labels that do not belong to "
            "their questions, or gold answers in another unit or form",
            "compare parsed and expected answers; train longer, or fix the data",
        )
    if counts["error"] or counts["timeout"]:
        yield Finding(
            "judge-fails",
            "warning",
            f"model {model}: the judge failed on {counts['error']:,} and ran out of time on {counts['timeout']:,} of "
            f"{n:,} completions",
            listed,
            "the judge raises, loops or uses too much memory on some texts; they count as not correct",
            "fix the judge; `orch rejudge` judges stored completions again",
        )


def fell(model: str, rows: Sequence[Written], other: str, before: Sequence[Written]) -> Iterator[Finding]:
    """The finding for a model that is significantly worse than the one it was trained from."""
    right = {row.example_id: row.status == "correct" for row in before}
    pairs = [(row.status == "correct", right[row.example_id]) for row in rows if row.example_id in right]
    if not pairs:
        return
    wins, losses = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    p = mcnemar(wins, losses)
    if losses <= wins or p >= _SIGNIFICANT:
        return
    difference, low, high = paired_difference(wins, losses, len(pairs))
    ours, theirs = sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)
    yield Finding(
        "accuracy-fell",
        "error",
        f"model {model} is worse than {other}: accuracy {ours:.3f} against {theirs:.3f}",
        f"difference {difference:+.3f}, 95% interval {low:+.3f} to {high:+.3f}; {len(pairs):,} questions, won {wins}, "
        f"lost {losses}, exact McNemar p = {p:.2g}",
        "training made it worse: a different prompt or answer format, a learning rate that is too high, or data that "
        "does not fit the task",
        "look at the findings above this one first; then lower learning_rate and read some training rows",
    )
