"""How answers are extracted and judged, in one short phrase to show with an accuracy.

Works from settings: of a task, or of a recipe as stored by a run, whose custom code is not loaded for this.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.answers.formats import AnswerFormat, Format
from orchestrator.answers.judges import BaseJudge, Judge
from orchestrator.schema import clipped
from orchestrator.tasks.base import Task

_JUDGE: TypeAdapter[BaseJudge] = TypeAdapter(Judge)
_FORMAT: TypeAdapter[AnswerFormat] = TypeAdapter(Format)


def judged_by(task: Task) -> str:
    """`numeric, within 5% of the gold answer, both rounded to 3 decimals; answers in <answer> tags`."""
    judge = task.judge.in_words()
    if task.own_verdict:
        judge = f"{type(task).__name__}'s own verdict (its setting: {judge})"
    return f"{judge}; {task.format.in_words()}"


def own_method(task: Task) -> str:
    """The name of the method that gives a task's own verdict."""
    return "judge_completion" if task.own_scores else "verdict"


def judged_by_settings(task: Mapping[str, Any]) -> str | None:
    """The same for a recipe's task block with all defaults written out; None if it lacks the format or the judge."""
    answer_format, judge = task.get("format"), task.get("judge")
    if not isinstance(answer_format, Mapping) or not isinstance(judge, Mapping):
        return None
    own = ", or the task's own verdict" if ".py:" in str(task.get("type")) else ""
    return f"{_in_words(_JUDGE, judge)}{own}; {_in_words(_FORMAT, answer_format)}"


def _in_words(kinds: TypeAdapter[BaseJudge] | TypeAdapter[AnswerFormat], settings: Mapping[str, Any]) -> str:
    """A judge or a format in its own words; if another version of orch wrote it, its plain settings."""
    try:
        return kinds.validate_python(dict(settings)).in_words()
    except ValidationError:
        return clipped(", ".join(f"{name} {value}" for name, value in settings.items()), 120)
