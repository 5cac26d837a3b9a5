"""Is the judge too strict? `exact` marks an answer as wrong if it expresses the gold answer in another form."""

import re
from collections.abc import Sequence

from orchestrator.answers.judges.choice import option
from orchestrator.answers.numbers import parse_number
from orchestrator.types import Finding, Status

_ALL, _NONE, _SOME = 0.95, 0.02, 0.2
"""Shares: least of answered completions, most of correct ones, least of wrong ones that a reader would accept."""


def too_strict(model: str, judge: str, pairs: Sequence[tuple[str | None, str, Status]]) -> Finding | None:
    """The finding if `exact` accepts almost no answers; `pairs` has each completion's (parsed, gold, status)."""
    n = len(pairs)
    answered = [(value or "", gold, status) for value, gold, status in pairs if status in ("correct", "wrong")]
    right = sum(status == "correct" for _, _, status in answered)
    if judge != "exact" or not answered or len(answered) < _ALL * n or right > _NONE * n:
        return None
    wrong = [(value, gold) for value, gold, status in answered if status == "wrong"]
    alike = [(value, gold) for value, gold in wrong if _means_the_same(value, gold)]
    likely = len(alike) >= _SOME * len(wrong)
    shown = (alike if likely else wrong)[:3]
    said = f"{len(alike):,} of them mean the same in another form" if alike else "none means the same in another form"
    return Finding(
        "judge-too-strict",
        "error" if likely else "warning",
        f"model {model}: {len(answered):,} of {n:,} completions are answered, and judge exact accepts {right:,}",
        "\n".join(f"parsed {value!r}, expected {gold!r}" for value, gold in shown) + f"\n{said}",
        "the judge: `exact` accepts only identical text, and answers are written in a different form than gold answers"
        if likely
        else "the judge, which accepts only identical text, or a model that knows no answers: look at the pairs",
        "use a judge that fits, as in task.judge: {type: numeric}, choice or math; `orch rejudge` judges the stored "
        "completions again",
    )


def _means_the_same(value: str, gold: str) -> bool:
    """Whether a reader would accept an answer: the same option, the same number, or the same words as the gold one."""
    if (label := option(gold)) is not None and option(value) == label:
        return True
    if (number := parse_number(gold)) is not None and parse_number(value) == number:
        return True
    words, wanted = (re.findall(r"\w+", text.casefold()) for text in (value, gold))
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
