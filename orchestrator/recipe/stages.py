"""A recipe's `stages` block: each stage by itself, then what they say of each other and of the splits."""

from typing import Any

from orchestrator.recipe.graph import is_adapter, references
from orchestrator.schema import Loc, unknown, validate
from orchestrator.stages.specs import NAME, STAGE_SPECS, EvaluateSpec
from orchestrator.tasks.base import SPLITS
from orchestrator.training.settings import StageSpec, TrainingSpec
from orchestrator.types import BASE

RESERVED = (BASE, "demonstrations", "train", "test", "validation", "evaluate")
"""What no stage may be called."""
_MOST = 1000
"""Stages of a recipe."""
_BROKEN = StageSpec()
"""Stands for a stage that is wrong itself, so that no stage that uses it is called wrong too."""


def read_stages(data: Any, problems: list[tuple[Loc, str]]) -> dict[str, StageSpec]:
    """The stages of a block by name, after adding each problem as (path, sentence)."""
    stages: dict[str, StageSpec] = {}
    if data is None:
        return stages
    if not isinstance(data, dict) or not data:
        problems.append((("stages",), "must be a block of stages, each with a name and a type"))
        return stages
    if len(data) > _MOST:
        problems.append((("stages",), f"has {len(data):,} stages, and a recipe has {_MOST:,} at most"))
        return stages
    for name, block in data.items():
        stages[str(name)] = _BROKEN
        path: Loc = ("stages", name)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append((path, "a stage's name is lower-case letters, digits, - and _, at most 40"))
        elif name in RESERVED:
            problems.append((path, f"{name!r} means something else in a recipe; choose another name"))
        if not isinstance(block, dict):
            problems.append((path, "must be a block of keys with a type"))
        elif not isinstance(block.get("type"), str):
            problems.append(((*path, "type"), f"is missing (choices: {', '.join(STAGE_SPECS)})"))
        elif block["type"] not in STAGE_SPECS:
            problems.append(((*path, "type"), unknown("stage type", block["type"], STAGE_SPECS)))
        elif (spec := validate(STAGE_SPECS[block["type"]], block, path, problems)) is not None:
            stages[str(name)] = spec
    return stages


def check_references(stages: dict[str, StageSpec], evaluate: EvaluateSpec, problems: list[tuple[Loc, str]]) -> None:
    """Does every stage use what stands above it, and is every model there that is evaluated?"""
    order = list(stages)
    for index, (name, spec) in enumerate(stages.items()):
        for field, wanted, kind in references(spec):
            path: Loc = ("stages", name, field)
            if wanted in order[:index]:
                fits = stages[wanted] is _BROKEN or _fits(stages[wanted], kind)
                if not fits:
                    problems.append((path, f"{wanted!r} is a {stages[wanted].verb} stage, not {kind}"))
            elif wanted == name or (wanted in order and _reaches(stages, wanted, name)):
                circle = f"{name!r} would wait for itself"
                if wanted != name:
                    circle = f"{wanted!r} and {name!r} would wait for each other"
                problems.append((path, f"{circle}: a stage uses what stands above it"))
            elif wanted in order:
                problems.append((path, f"stage {wanted!r} stands later in the recipe; move it above {name!r}"))
            else:
                problems.append((path, unknown("stage", wanted, [*_extra(kind), *order[:index]])))
        if isinstance(spec, TrainingSpec) and spec.asks_for_lora and is_adapter(stages, spec.model):
            problems.append(
                (
                    ("stages", name, "lora"),
                    f"it is the adapter of {spec.model!r} that is trained on, as it is; leave lora out, or write null "
                    "to merge it and train all weights",
                )
            )
    for position, model in enumerate(evaluate.models or ()):
        if model != BASE and (model not in stages or not (stages[model].MAKES_MODEL or stages[model] is _BROKEN)):
            choices = [BASE, *(n for n, s in stages.items() if s.MAKES_MODEL)]
            problems.append((("evaluate", "models", position), unknown("model", model, choices)))


def check_splits(task: Any, evaluate: EvaluateSpec, problems: list[tuple[Loc, str]]) -> None:
    """Are the splits there that are evaluated on, each named once?"""
    further = task.get("further") if isinstance(task, dict) else None  # as it is written: it may be wrong itself
    choices = [*SPLITS, *(str(name) for name in further)] if isinstance(further, dict) else list(SPLITS)
    if evaluate.on not in choices:
        problems.append((("evaluate", "on"), unknown("split", evaluate.on, choices)))
    named = {evaluate.on}
    for position, name in enumerate(evaluate.also):
        path: Loc = ("evaluate", "also", position)
        if name not in choices:
            problems.append((path, unknown("split", name, choices)))
        elif name in named:
            problems.append((path, f"{name!r} is evaluated on already; leave it out"))
        named.add(name)


def _extra(kind: str) -> list[str]:
    return {"one that makes a model": [BASE], "a select stage": ["demonstrations"]}.get(kind, [])


def _fits(spec: StageSpec, kind: str) -> bool:
    if kind == "one that makes a model":
        return spec.MAKES_MODEL
    return spec.verb == {"a select stage": "select", "a sample stage": "sample"}[kind]


def _reaches(stages: dict[str, StageSpec], start: str, goal: str) -> bool:
    """Does `start` use `goal`, directly or through others?"""
    seen, queue = set(), [start]
    while queue:
        name = queue.pop()
        if name == goal:
            return True
        if name not in seen and name in stages:
            seen.add(name)
            queue += [wanted for _, wanted, _ in references(stages[name])]
    return False
