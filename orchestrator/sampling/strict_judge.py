"""Is it the judge that takes no answer? `exact` calls an answer wrong that says the gold one in another way."""

import re
from collections.abc import Sequence

from orchestrator.answers.judges.choice import option
from orchestrator.answers.numbers import parse_number
from orchestrator.types import Finding, Status

_ALL, _NONE, _SOME = 0.95, 0.02, 0.2
"""Shares: of completions with an answer, of right ones at most, and of wrong ones that a reader would take."""


def too_strict(model: str, judge: str, pairs: Sequence[tuple[str | None, str, Status]]) -> Finding | None:
    """The finding where `exact` takes next to none of the answers: (parsed, gold, status) of each completion."""
    n = len(pairs)
    answered = [(value or "", gold, status) for value, gold, status in pairs if status in ("correct", "wrong")]
    right = sum(status == "correct" for _, _, status in answered)
    if judge != "exact" or not answered or len(answered) < _ALL * n or right > _NONE * n:
        return None
    wrong = [(value, gold) for value, gold, status in answered if status == "wrong"]
    alike = [(value, gold) for value, gold in wrong if _means_the_same(value, gold)]
    likely = len(alike) >= _SOME * len(wrong)
    shown = (alike if likely else wrong)[:3]
    said = f"{len(alike):,} of them say the same in another way" if alike else "none says it in another way"
    return Finding(
        "judge-too-strict",
        "error" if likely else "warning",
        f"model {model}: {len(answered):,} of {n:,} completions are answered, and judge exact takes {right:,} as right",
        "\n".join(f"parsed {value!r}, expected {gold!r}" for value, gold in shown) + f"\n{said}",
        "the judge: `exact` takes the very same text alone, and answers are written in another way than the gold ones"
        if likely
        else "the judge, which takes the very same text alone, or a model that knows no answers: the pairs tell",
        "take the judge that fits, as in task.judge: {type: numeric}, choice or math; `orch judge` judges the stored "
        "completions again",
    )


def _means_the_same(value: str, gold: str) -> bool:
    """Whether an answer is the gold one to a reader: the same option, the same number, or the same words."""
    if (label := option(gold)) is not None and option(value) == label:
        return True
    if (number := parse_number(gold)) is not None and parse_number(value) == number:
        return True
    words, wanted = (re.findall(r"\w+", text.casefold()) for text in (value, gold))
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
