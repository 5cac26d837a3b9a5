"""A recipe's `stages` block: each stage on its own, then the references between stages and to splits."""

import re
from typing import Any

from orchestrator.recipe.graph import is_adapter
from orchestrator.recipe.repeat import Repeat, with_rounds
from orchestrator.schema import Loc, unknown, validate
from orchestrator.stages import STAGES
from orchestrator.stages.base import Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.evaluate import Evaluate
from orchestrator.stages.training import Training
from orchestrator.tasks.splits import SPLITS
from orchestrator.types import BASE

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""Valid stage names: a name becomes a run name, a tag and part of a metric's name."""
RESERVED = (BASE, "demonstrations", "train", "test", "validation", "evaluate")
"""Names that no stage may have."""
_NO_VERBS = {
    "rft": "RFT is three stages: sample, select (from those completions), and sft on what was selected, as in "
    "recipes/rft.yaml",
    "eval": "models are evaluated by the block `evaluate`, which goes next to `stages`",
    "evaluate": "models are evaluated by the block `evaluate`, which goes next to `stages`",
}
"""Stage types that people write by mistake, and what to use instead."""
_MOST = 1000
"""Maximum number of stages in a recipe."""


class _Broken(Verb):
    """Placeholder for an invalid stage, so that stages that use it are not reported as well."""

    MAKES = Kind.RESULTS

    def jobs(self, context: Context) -> list[Job]:
        raise AssertionError("a recipe with such a stage is refused")

    def finish(self, context: Context) -> Output:
        raise AssertionError("a recipe with such a stage is refused")


_BROKEN = _Broken()


def read_rounds(
    data: Any, stages: dict[str, Verb], problems: list[tuple[Loc, str]]
) -> tuple[Repeat | None, dict[str, Verb]]:
    """The `repeat` block, and the stages including those of the rounds it adds; appends to `problems`."""
    repeat = None if data is None else validate(Repeat, data, ("repeat",), problems)
    if repeat is None:
        return None, stages
    every = with_rounds(repeat, stages, [name for name, spec in stages.items() if spec is _BROKEN], problems)
    if (long := next((name for name in every if name not in stages and not NAME.fullmatch(name)), None)) is not None:
        problems.append((("repeat", "stages"), f"creates a stage {long!r}: a stage's name has at most 40 characters"))
    if len(every) > _MOST:
        problems.append((("repeat", "times"), f"creates {len(every):,} stages; a recipe has at most {_MOST:,}"))
    return repeat, every


def read_stages(data: Any, problems: list[tuple[Loc, str]]) -> dict[str, Verb]:
    """The stages of a block by name; appends each problem as (path, sentence) to `problems`."""
    stages: dict[str, Verb] = {}
    if data is None:
        return stages
    if not isinstance(data, dict) or not data:
        problems.append((("stages",), "must be a block of stages, each with a name and a type"))
        return stages
    if len(data) > _MOST:
        problems.append((("stages",), f"has {len(data):,} stages; a recipe has at most {_MOST:,}"))
        return stages
    for name, block in data.items():
        stages[str(name)] = _BROKEN
        path: Loc = ("stages", name)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append((path, "a stage's name is lower-case letters, digits, - and _, at most 40 characters"))
        elif name in RESERVED:
            problems.append((path, f"{name!r} is a reserved name; choose another"))
        if not isinstance(block, dict):
            problems.append((path, "must be a block of keys with a type"))
        elif not isinstance(block.get("type"), str):
            problems.append(((*path, "type"), f"is missing (choices: {', '.join(STAGES)})"))
        elif block["type"] not in STAGES:
            problems.append(
                ((*path, "type"), _NO_VERBS.get(block["type"]) or unknown("stage type", block["type"], STAGES))
            )
        elif (spec := validate(STAGES[block["type"]], block, path, problems)) is not None:
            stages[str(name)] = spec
    return stages


def check_references(stages: dict[str, Verb], evaluate: Evaluate, problems: list[tuple[Loc, str]]) -> None:
    """Check that every stage uses only stages above it, and that every evaluated model exists."""
    order = list(stages)
    for index, (name, spec) in enumerate(stages.items()):
        before = len(problems)
        for field, wanted, kind in spec.references():
            path: Loc = ("stages", name, field)
            if wanted in order[:index]:
                used = stages[wanted]
                if used is not _BROKEN and used.MAKES is not kind:
                    article = "an" if used.SPOKEN and used.verb[0] in "aefhilmnorsx" else "a"  # an SFT stage
                    what = f"{article} {used.verb} stage, which makes {used.MAKES.value}"
                    problems.append((path, f"{wanted!r} is {what}; name a stage that makes {kind.value}"))
            elif wanted == name or (wanted in order and _reaches(stages, wanted, name)):
                circle = f"{name!r} depends on itself"
                if wanted != name:
                    circle = f"{wanted!r} and {name!r} depend on each other"
                problems.append((path, f"{circle}; a stage may only use stages above it"))
            elif wanted in order:
                problems.append((path, f"stage {wanted!r} comes later in the recipe; move it above {name!r}"))
            else:
                problems.append((path, unknown("stage", wanted, [*kind.given, *order[:index]])))
        if len(problems) == before:  # the stages it names exist and are of the right kind
            problems += [(("stages", name, field), text) for field, text in spec.misuses(stages)]
        if isinstance(spec, Training) and spec.asks_for_lora and is_adapter(stages, spec.model):
            problems.append(
                (
                    ("stages", name, "lora"),
                    f"training continues on the adapter of {spec.model!r} as it is; leave lora out, or write null to "
                    "merge it and train all weights",
                )
            )
    for position, model in enumerate(evaluate.models or ()):
        if model != BASE and (model not in stages or not (stages[model].makes_model or stages[model] is _BROKEN)):
            choices = [BASE, *(n for n, s in stages.items() if s.makes_model)]
            problems.append((("evaluate", "models", position), unknown("model", model, choices)))


def check_splits(task: Any, evaluate: Evaluate, problems: list[tuple[Loc, str]]) -> None:
    """Check that the splits evaluated on exist and that each is named once."""
    further = task.get("further") if isinstance(task, dict) else None  # as written: it may be invalid itself
    choices = [*SPLITS, *(str(name) for name in further)] if isinstance(further, dict) else list(SPLITS)
    if evaluate.on not in choices:
        problems.append((("evaluate", "on"), unknown("split", evaluate.on, choices)))
    named = {evaluate.on}
    for position, name in enumerate(evaluate.also):
        path: Loc = ("evaluate", "also", position)
        if name not in choices:
            problems.append((path, unknown("split", name, choices)))
        elif name in named:
            problems.append((path, f"{name!r} is already evaluated on; leave it out"))
        named.add(name)


def _reaches(stages: dict[str, Verb], start: str, goal: str) -> bool:
    """Whether `start` uses `goal`, directly or through other stages."""
    seen, queue = set(), [start]
    while queue:
        name = queue.pop()
        if name == goal:
            return True
        if name not in seen and name in stages:
            seen.add(name)
            queue += [reference.stage for reference in stages[name].references()]
    return False
