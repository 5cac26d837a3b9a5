"""The recipe: one YAML file, validated whole, every problem reported at once.

Knows the schemas and nothing of how they are carried out: neither torch, ray, trl nor mlflow is imported here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from orchestrator.errors import RecipeError
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.head import WATCHED, Head, Limits
from orchestrator.recipe.stages import RESERVED, check_references, check_splits, read_stages
from orchestrator.recipe.task import OwnTask, read_task, task_class
from orchestrator.recipe.yaml_source import DEEPEST, parse, parse_value, read_text
from orchestrator.schema import Loc, clipped, unknown, validate
from orchestrator.stages.base import Verb
from orchestrator.stages.evaluate import Evaluate
from orchestrator.tasks import Task
from orchestrator.types import BASE

__all__ = [
    "RESERVED",
    "WATCHED",
    "Head",
    "Limits",
    "Recipe",
    "load_recipe",
    "load_task",
]
"""Everything that others need to know of a recipe, wherever it is written."""


_MOST_SHOWN = 50
"""Problems of one recipe that are told one by one."""


class Recipe(Head):
    """A validated experiment."""

    task: Task
    model: ModelSpec
    stages: dict[str, Verb]
    evaluate: Evaluate
    source: str = Field(exclude=True)
    """Where it was read."""

    def models(self) -> list[str]:
        """The models this recipe evaluates, in order."""
        if self.evaluate.models is not None:
            return list(dict.fromkeys(self.evaluate.models))
        return [BASE, *(name for name, spec in self.stages.items() if spec.makes_model)]

    def with_seed(self, seed: int) -> "Recipe":
        """The same experiment with one seed, as `orch run RECIPE seed=S` would run it; the task is shared."""
        return self.model_copy(update={"seed": seed, "seeds": None})

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain data; loads as a recipe again."""
        idle = None if self.seeds is None else {"seed"}
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=idle, serialize_as_any=True)
        data["evaluate"]["models"] = self.models()
        return data


def load_recipe(path: str | Path, overrides: Sequence[str] = (), own_task: OwnTask = task_class) -> Recipe:
    """Read and validate a recipe with `key=value` overrides applied.

    The file of a user's own task is run; where the recipe is not the user's own, `own_task` gives another class for it.

    Raises:
        RecipeError: with every problem of the file and of the overrides.
        DataError: where the task's own settings cannot be used.
    """
    source = str(path)
    try:
        text = read_text(path, source)
    except FileNotFoundError:
        raise RecipeError(f"{source}: no such recipe; the shipped ones are in recipes/") from None
    except IsADirectoryError:
        raise RecipeError(f"{source}: is a folder; name a recipe, a .yaml file") from None
    except OSError as error:
        raise RecipeError(f"{source}: cannot be read: {error.strerror}") from None
    data, lines = parse(text, source)
    if not isinstance(data, dict):
        raise RecipeError(f"{source}: must be a block of keys (name, task, model, stages, evaluate)")
    overridden: list[tuple[str, ...]] = []
    problems: list[str] = []
    for item in overrides:
        try:
            overridden.append(_override(data, item))
        except RecipeError as error:
            problems += error.problems
    for ours, theirs in (("seed", "seeds"), ("seeds", "seed")):
        if (ours,) in overridden and (theirs,) not in overridden and data.get(ours) is not None:
            data.pop(theirs, None)  # an override of one takes the place of the file's other
    try:
        recipe = _build(data, source, lines, overridden, own_task)
    except RecipeError as error:
        raise RecipeError(*problems, *error.problems) from None
    if problems:
        raise RecipeError(*problems)
    return recipe


def load_task(overrides: Sequence[str]) -> Task:
    """A task of its answer format and judge alone, as `format.type=boxed` and `judge.type=math` set them.

    Raises:
        RecipeError: with every problem of the overrides.
    """
    data: dict[str, Any] = {"type": "file", "test": {"generate": 1}}
    overridden: list[tuple[str, ...]] = []
    refused: list[str] = []
    for item in overrides:
        try:
            overridden.append(("task", *_override(data, item)))
        except RecipeError as error:
            refused += error.problems
    problems: list[tuple[Loc, str]] = []
    task = read_task(data, problems)
    if task is None or problems or refused:
        raise RecipeError(*refused, *(_line("overrides", {}, overridden, loc, text) for loc, text in problems))
    return task


def _override(data: dict[str, Any], item: str) -> tuple[str, ...]:
    """Put one override in its place in the recipe; the keys that lead there."""
    dotted, equals, value = item.partition("=")
    keys = tuple(dotted.strip().split("."))
    where = f"override {clipped(item, 200)!r}"
    if not equals or not all(keys):
        raise RecipeError(f"{where}: must read key=value, such as stages.rft.learning_rate=1e-4")
    if len(keys) > DEEPEST:
        raise RecipeError(f"{where}: names {len(keys):,} blocks in each other, and a recipe has {DEEPEST} at most")
    block: Any = data
    for key in keys[:-1]:
        inner = block.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise RecipeError(f"{where}: {clipped(key)!r} is a single value, it has no {clipped(keys[-1])!r} inside")
        block[key] = dict(inner or {})  # a copy: a block that YAML shares by an alias stays as it is elsewhere
        block = block[key]
    block[keys[-1]] = parse_value(value, where)
    return keys


def _build(
    data: dict[str, Any],
    source: str,
    lines: dict[tuple[str, ...], int],
    overridden: Sequence[tuple[str, ...]],
    own_task: OwnTask,
) -> Recipe:
    problems: list[tuple[Loc, str]] = []
    for key in data:
        if key not in Recipe.model_fields or key == "source":
            problems.append(((key,), unknown("key", str(key), [k for k in Recipe.model_fields if k != "source"])))
    task = read_task(data.get("task"), problems, own_task)
    model = validate(ModelSpec, data["model"], ("model",), problems) if data.get("model") is not None else None
    stages = read_stages(data.get("stages"), problems)
    block = data.get("evaluate")
    evaluate = validate(Evaluate, {} if block is None else block, ("evaluate",), problems)
    head = validate(Head, {key: data[key] for key in Head.model_fields if key in data}, (), problems)
    if data.get("seed") is not None and data.get("seeds") is not None:
        problems.append((("seeds",), "seed and seeds both say which seeds to run: keep one of them"))
    check_references(stages, evaluate or Evaluate(), problems)
    check_splits(data.get("task"), evaluate or Evaluate(), problems)
    problems += [((key,), "is missing") for key in ("task", "model", "stages") if data.get(key) is None]
    if problems:
        shown = [_line(source, lines, overridden, loc, text) for loc, text in problems[:_MOST_SHOWN]]
        if len(problems) > _MOST_SHOWN:
            shown.append(f"{source}: ... and {len(problems) - _MOST_SHOWN:,} more problems")
        raise RecipeError(*shown)
    assert head is not None
    parts: dict[str, Any] = {"task": task, "model": model, "stages": stages, "evaluate": evaluate, "source": source}
    return Recipe.model_construct(**{name: getattr(head, name) for name in Head.model_fields}, **parts)


def _line(
    source: str, lines: dict[tuple[str, ...], int], overridden: Sequence[tuple[str, ...]], loc: Loc, text: str
) -> str:
    path = tuple(str(part) for part in loc)
    dotted = ".".join(clipped(part) for part in path)
    if any(path[: len(keys)] == keys for keys in overridden):
        return f"override {dotted}: {text}"
    while path and path not in lines:
        path = path[:-1]
    where = f"{source}:{lines[path]}" if path else source
    return f"{where}: {dotted}: {text}"
