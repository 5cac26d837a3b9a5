"""The default tolerance of the judge `numeric`, for recipes that set none: the one that fits the task's gold answers.

Whole numbers are counts, and 26 is not 25: tolerance 0. If there are other numbers, a correct answer may be rounded:
1%. It must not know how the verdicts are used.
"""

from collections.abc import Iterator

from orchestrator.answers.judges.numeric import NumericJudge
from orchestrator.answers.numbers import parse_number
from orchestrator.tasks.base import Task

ROUNDED = 0.01
"""The tolerance if not all gold answers are whole numbers."""


def fitted(task: Task) -> tuple[Task, str | None]:
    """The task with its tolerance set, and the reason; None if the recipe sets it or the judge does not use one.

    Raises:
        DataError: a split that cannot be read.
    """
    judge = task.judge
    if not isinstance(judge, NumericJudge) or judge.tolerance is not None:
        return task, None
    golds = [example.answer for split in task.splits() for example in task.examples(split)]
    broken = list(_not_whole(golds, judge.decimal_comma))
    tolerance = ROUNDED if broken else 0.0
    settled = NumericJudge.model_validate(judge.model_dump() | {"tolerance": tolerance})
    if broken:
        why = f"{len(broken):,} of {len(golds):,} gold answers are not whole numbers, such as {broken[0]:.40}"
    else:
        why = f"all {len(golds):,} gold answers are whole numbers"
    return task.model_copy(update={"judge": settled}), f"tolerance {tolerance:g}: {why}"


def _not_whole(golds: list[str], decimal_comma: bool) -> Iterator[str]:
    for gold in golds:
        number = parse_number(gold, decimal_comma)
        if number is not None and number.as_integer_ratio()[1] != 1:
            yield gold
