"""Judges stored texts again: if the stored verdicts do not follow, the judge or the file has changed.

Knows no model and no store.
"""

from collections import Counter
from collections.abc import Sequence

from orchestrator.health.written import Written
from orchestrator.tasks import Task
from orchestrator.tasks.judging import Item, item, verdicts
from orchestrator.types import Finding

_MOST = 200
_FAILED = ("timeout", "error")
"""A judge that ran out of time may have more of it now, so nothing follows from these verdicts."""


def judged_again(name: str, task: Task, rows: Sequence[Written], same_judging: bool | None) -> Finding | None:
    """The finding for a model's stored verdicts that the run's judge does not give now.

    `same_judging`: whether answers are read and judged now as they were then; None if that is not recorded.
    """
    looked = [row for row in rows[:: len(rows) // _MOST + 1] if row.status not in _FAILED]
    now = verdicts(task, [_item(task, row) for row in looked])
    pairs = [(row, verdict) for row, verdict in zip(looked, now, strict=True) if verdict.status not in _FAILED]
    other = [(row, verdict) for row, verdict in pairs if row.status != verdict.status]
    if not other:
        return None
    row, verdict = other[0]
    changes = Counter(f"{row.status} is now {verdict.status}" for row, verdict in other)
    seen = ", ".join(f"{change}: {number:,}" for change, number in changes.most_common())
    shown = f"{seen}\n{row.text[-120:]!r} (gold {row.gold}): {row.value!r} {row.status}, now {verdict.value!r}"
    if same_judging:
        return Finding(
            "verdicts-changed",
            "error",
            f"model {name}: {len(other):,} of {len(pairs):,} stored verdicts do not follow from their texts",
            f"{shown} {verdict.status}\nanswers were read and judged then as they are now",
            "the results file was changed after the evaluation, or the judge is not deterministic",
            "do not trust this model's figures; delete its evaluation, and run the recipe again",
        )
    return Finding(
        "judge-changed",
        "error",
        f"model {name}: the judge now gives {len(other):,} of {len(pairs):,} stored texts a different verdict",
        f"{shown} {verdict.status}",
        "the judge, its tolerance, the answer format or the task's own code has changed since the evaluation",
        "do not compare its accuracy with that of models judged now; `orch rejudge` judges stored texts again, and "
        "running the recipe evaluates the model again",
    )


def _item(task: Task, row: Written) -> Item:
    example = task.example_of(row.example_id, row.question, row.gold)
    return item(row.text, example, "length" if row.finish_reason == "length" else "stop")
