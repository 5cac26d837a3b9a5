"""Checks that models were evaluated and judged in the same way; otherwise their figures are not comparable."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.answers.formats import FORMATS
from orchestrator.answers.judges import JUDGES
from orchestrator.comparison import questions_of
from orchestrator.comparison.past_models import PastModel, split_of
from orchestrator.errors import InputError
from orchestrator.recipe.plain import block
from orchestrator.schema import flatten
from orchestrator.tasks.splits import SPLITS

_OF_THE_TASK = ("type", "format", "judge", "judge_limits")
_OF_THE_QUESTIONS = (*SPLITS, "further", "seed")
"""A task's settings that decide its questions; the questions themselves are compared instead."""
_OF_THE_EVALUATION = (("max_tokens", None), ("temperature", 0.0), ("top_p", 1.0))
"""With the values implied by older runs, which lack them. The number of answers per question may differ."""
_SHOWN = 3


def refuse_unlike(per_run: Sequence[Sequence[PastModel]]) -> None:
    """Raise InputError unless all runs were evaluated and judged like the first; questions are compared later."""
    first = per_run[0][0]
    parting = [(models[0].above[:8], why) for models in per_run[1:] if (why := _parting(first, models[0])) is not None]
    if parting:
        raise InputError(*(f"{_unlike([run])}: {why}" for run, why in parting))


def left_out(per_run: Sequence[Sequence[PastModel]]) -> tuple[list[Sequence[PastModel]], list[str]]:
    """The runs that were evaluated and judged like the first, and sentences on the others."""
    first = per_run[0][0]
    asked = questions_of(first.results)
    kept: list[Sequence[PastModel]] = []
    out: dict[str, list[str]] = {}
    for models in per_run:
        why = _parting(first, models[0])
        if why is None and models[0].key != first.key and questions_of(models[0].results) != asked:
            why = f"the questions are not those of run {first.above[:8]}"
        if why is None:
            kept.append(models)
        else:
            out.setdefault(why, []).append(models[0].above[:8])
    return kept, [f"{_unlike(runs)}: {why}." for why, runs in out.items()]


def _unlike(runs: Sequence[str]) -> str:
    if len(runs) == 1:
        return f"run {runs[0]} was evaluated or judged differently, so its figures cannot be compared"
    return f"runs {', '.join(runs)} were evaluated or judged differently, so their figures cannot be compared"


def judged_by(recipe: Mapping[str, Any], on: str | None = None) -> dict[str, Any]:
    """How a recipe evaluates and judges: values by dotted name. The questions themselves are compared separately.

    For a user-defined task, these are all settings, since its code may read any of them. `on` is the evaluated split if
    it is not the one that the recipe compares models on.
    """
    task, evaluate = block(recipe, "task"), block(recipe, "evaluate")
    names = [*_OF_THE_TASK, *task] if ".py:" in str(task.get("type")) else _OF_THE_TASK
    how = {"task": {name: task.get(name) for name in names if name not in _OF_THE_QUESTIONS}}
    how["task"] |= {"format": _spelled_out(FORMATS, task, "format"), "judge": _spelled_out(JUDGES, task, "judge")}
    asked = {"on": on or split_of(recipe)} | {name: evaluate.get(name, usual) for name, usual in _OF_THE_EVALUATION}
    return flatten(how | {"evaluate": asked})


def _spelled_out(kinds: Mapping[str, Any], task: Mapping[str, Any], name: str) -> Any:
    """A format or judge with every default filled in: older runs lack the settings added since."""
    settings = task.get(name)
    if not isinstance(settings, Mapping) or (kind := kinds.get(str(settings.get("type")))) is None:
        return settings
    defaults = kind.model_construct().model_dump(mode="json", warnings=False)
    return {key: value for key, value in (defaults | dict(settings)).items() if value is not None}


def _parting(ours: PastModel, theirs: PastModel) -> str | None:
    """How two runs differ in evaluation and judging, in words; None if they do not."""
    a, b = judged_by(ours.recipe, ours.on), judged_by(theirs.recipe, theirs.on)
    parts = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
    if None not in (ours.judging_digest, theirs.judging_digest):  # more reliable than the recipes' text
        if ours.judging_digest == theirs.judging_digest:
            parts = [name for name in parts if not name.startswith("task.")]
        elif not any(name.startswith("task.") for name in parts):
            return f"the code of the task or judge is not that of run {ours.above[:8]}"
    if not parts:
        return None
    told = [f"{n} is {_value(b.get(n))}, but {_value(a.get(n))} in run {ours.above[:8]}" for n in parts[:_SHOWN]]
    return "; ".join(told) + (f"; and {len(parts) - _SHOWN} more settings" if len(parts) > _SHOWN else "")


def _value(value: object) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
