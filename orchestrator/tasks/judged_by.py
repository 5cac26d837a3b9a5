"""How answers are read and judged, in words, for wherever an accuracy is shown.

It knows settings: of a task, or of a recipe as a run wrote it down, whose own code is not loaded for it.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator.tasks.base import Task


def judged_by(task: Task) -> str:
    """`format tags, judge numeric (tolerance 0.05, both rounded to 3 decimals)`."""
    judge = judge_in_words(task.judge.model_dump())
    if task.own_verdict:
        judge = f"{type(task).__name__}'s own verdict (its setting: {judge})"
    return f"format {task.format.type}, {judge}"


def own_method(task: Task) -> str:
    """The method by which a task with an own verdict judges."""
    return "judge_completion" if task.own_scores else "verdict"


def judged_by_settings(task: Mapping[str, Any]) -> str | None:
    """The same of a recipe's task block with every default written out; None where it does not tell."""
    answer_format, judge = task.get("format"), task.get("judge")
    if not isinstance(answer_format, Mapping) or not isinstance(judge, Mapping):
        return None
    own = ", or the task's own verdict" if ".py:" in str(task.get("type")) else ""
    return f"format {answer_format.get('type', 'tags')}, {judge_in_words(judge)}{own}"


def judge_in_words(judge: Mapping[str, Any]) -> str:
    """A judge with the settings that decide; those that are off are left out."""
    kind = str(judge.get("type", "numeric"))
    told = [_told(name, value) for name, value in judge.items() if name != "type" and value not in (None, False)]
    if kind == "numeric" and judge.get("tolerance") in (None, 0):
        told = ["tolerance 0", *(one for one in told if not one.startswith("tolerance"))]
    return f"judge {kind}" + (f" ({', '.join(told)})" if told else "")


def _told(name: str, value: Any) -> str:
    if value is True:
        return name.replace("_", " ")
    if name == "decimals":
        return f"both rounded to {value} decimal{'' if value == 1 else 's'}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
