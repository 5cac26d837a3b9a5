"""Whether the judge rejects wrong answers: it judges answers that cannot be right, and those it accepts are reported.

Gold answers of other rows may be right if a task has several right answers, or a tolerance: a single one proves
nothing, half of them do. Knows no model and no tokenizer.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.errors import DataError
from orchestrator.health.data_faults import constant_gold
from orchestrator.tasks import Task
from orchestrator.tasks.judged_by import judged_by, own_method
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Example, Finding

_TRIED = 10
"""Number of examples tried, from all over the split."""
_FEWEST = 3
"""Number of different gold answers needed to conclude anything."""
_MOST = 0.5
"""Share from which the judge is wrong, rather than the data odd."""
_LABELS = 0.9
"""Share from which gold answers are labels, and any others among them exceptions."""
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
_ALL = 50
"""Maximum number of other rows' gold answers put into one text."""


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A wrong completion for an example."""

    kind: str
    example: Example
    text: str


def refusals(task: Task) -> Iterator[Finding]:
    """A finding for each kind of wrong answer that is accepted; the first split with enough different answers is tried.

    A split whose gold answers are all the same answer, in several forms, does not count.
    """
    for split in task.splits():
        examples = _distinct(task.examples(split))
        if len(examples) >= _FEWEST and constant_gold(task, task.examples(split)) is None:
            yield from _accepted(task, examples)
            return


def letters(task: Task) -> Iterator[Finding]:
    """The finding for gold answers that are the letters of options, with a judge that knows no options."""
    if task.own_verdict or task.judge.type == "choice":
        return
    golds = Counter(example.answer.strip() for split in task.splits() for example in task.examples(split))
    labels = {gold: label for gold in golds if (label := _label(gold)) is not None}
    n, labelled = golds.total(), sum(golds[gold] for gold in labels)
    if len(set(labels.values())) < 2 or labelled < _LABELS * n:
        return
    others = sorted(set(golds) - set(labels))
    yield Finding(
        "choice-judge",
        "warning",
        f"{'all' if labelled == n else f'{labelled:,} of {n:,}'} gold answers are labels of options, but judge "
        f"{task.judge.type} treats them as ordinary text",
        f"gold answers: {', '.join(sorted(labels)[:12])}",
        "the answers are option labels: for E, `(E)`, `E.` and `E) 12 m` are right but would be judged wrong",
        "set task.judge: {type: choice}"
        + (f", and leave out rows whose gold answer is not a label, such as {others[0][:40]!r}" if others else ""),
    )


def _label(gold: str) -> str | None:
    """The option that a gold answer labels: a letter, or a Roman numeral up to x. None for others, such as numbers."""
    from orchestrator.answers.judges.choice import is_letter, option

    label = option(gold)
    return label if is_letter(gold) or label in _ROMAN else None


def _distinct(examples: Sequence[Example]) -> list[Example]:
    """Examples with different gold answers."""
    return list({" ".join(e.answer.casefold().split()): e for e in reversed(examples)}.values())[::-1]


def _accepted(task: Task, examples: list[Example]) -> Iterator[Finding]:
    tried = examples[:: max(1, len(examples) // _TRIED)][:_TRIED]
    wrong = [one for number, example in enumerate(tried) for one in _wrong(task, example, number, examples)]
    judged = verdicts(task, [item(one.text, one.example) for one in wrong])
    for kind in dict.fromkeys(one.kind for one in wrong):
        of_kind = [(one, verdict) for one, verdict in zip(wrong, judged, strict=True) if one.kind == kind]
        right = [one for one, verdict in of_kind if verdict.status == "correct"]
        if len(right) < _MOST * len(of_kind):
            continue
        yield Finding(
            "wrong-answer-accepted",
            "error" if task.own_verdict else "warning",
            f"the judge accepts {kind} as correct for {len(right)} of {len(of_kind)} gold answers",
            "\n".join(
                f"{one.example.id}: gold {one.example.answer!r}, accepted {one.text[-80:]!r}" for one in right[:3]
            ),
            f"{judged_by(task)}: it accepts more than the gold answer, so accuracy and reward mean little",
            f"fix {type(task).__name__}.{own_method(task)}: it must compare the whole answer"
            if task.own_verdict
            else "lower task.judge.tolerance, or use another judge or answer format",
        )


def _wrong(task: Task, example: Example, number: int, examples: list[Example]) -> Iterator[_Wrong]:
    """Completions that are wrong for an example in any task."""
    yield _Wrong("an empty text", example, "")
    others = [other for other in examples if other is not example]
    other = others[(number * 7) % len(others)]
    if (text := _target(task, other)) is not None:
        yield _Wrong("the gold answer of another row", example, text)
    yield _Wrong("the question itself", example, example.question)
    # its own is among them, another one last: a judge that looks for the gold answer anywhere finds it
    row = [*others[: _ALL // 2], example, *others[_ALL // 2 : _ALL], others[0]]
    texts = [text for one in row if (text := _target(task, one)) is not None]
    yield _Wrong("all gold answers in one text", example, "\n".join(texts))


def _target(task: Task, example: Example) -> str | None:
    try:
        return task.format.target_text(example.answer)
    except DataError:
        return None
