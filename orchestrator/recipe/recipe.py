"""The recipe: one YAML file, validated as a whole, with every problem reported at once.

Knows the schemas but not how stages run: torch, ray, trl and mlflow are not imported here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from orchestrator.errors import RecipeError
from orchestrator.models.settings import ModelSpec
from orchestrator.notebook import block, paragraphs
from orchestrator.recipe.head import WATCHED, Head, Limits
from orchestrator.recipe.paths import located
from orchestrator.recipe.reading import Place, read_recipe
from orchestrator.recipe.repeat import Repeat, said_once
from orchestrator.recipe.stages import RESERVED, check_references, check_splits, read_rounds, read_stages
from orchestrator.recipe.sweep import Sweep, check_sweep
from orchestrator.recipe.task import OwnTask, read_task, task_class
from orchestrator.recipe.yaml_source import DEEPEST, parse, parse_value
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
"""Everything that other packages need from a recipe, wherever it is defined."""


_NOT_WRITTEN = ("source", "written")
_MOST_SHOWN = 50
"""Maximum number of problems that are reported one by one."""


class Recipe(Head):
    """A validated experiment."""

    task: Task
    model: ModelSpec
    stages: dict[str, Verb]
    evaluate: Evaluate
    repeat: Repeat | None = Field(exclude=True)
    """The stages to repeat; `stages` contains those of all rounds."""
    sweep: Sweep | None = Field(exclude=True)
    """The variants that `orch sweep` tries; it does not affect the recipe's own stages and is part of no key."""
    source: str = Field(exclude=True)
    """Where the recipe was read from."""
    written: "Written" = Field(exclude=True)
    """The recipe as read, before defaults are applied; variants are built from it."""

    def __repr__(self) -> str:
        return f"Recipe({self.name}: {', '.join(self.stages)})"

    def _repr_html_(self) -> str:
        """The recipe as it was written, and its overrides."""
        changed = [f"{name} = {value}" for name, value in self.written.overrides.items()]
        return block(self.written.text) + paragraphs(changed)

    def models(self) -> list[str]:
        """The models this recipe evaluates, in order."""
        if self.evaluate.models is not None:
            return list(dict.fromkeys(self.evaluate.models))
        return [BASE, *(name for name, spec in self.stages.items() if spec.makes_model)]

    def varied(self, changes: Mapping[str, Any]) -> "Recipe":
        """The recipe with other values for some settings, by dotted name: `{"stages.rft.learning_rate": 1e-4}`.

        Overrides, seeds and sweeps all go through this. The variant is validated as a whole, as if it had been written
        that way. If no setting of the task changes, the task is shared, so its data is read once.

        Raises:
            RecipeError: with every problem of the variant.
        """
        return self.written.varied(changes).recipe(None if _of_the_task(changes) else self.task)

    def trials(self) -> tuple[dict[str, Any], ...]:
        """The changes that make each variant of this recipe; a single empty one if it has no variants."""
        return ({},) if self.seeds is None else tuple({"seed": seed} for seed in self.seeds)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default filled in, as plain data that loads as a recipe again."""
        idle = None if self.seeds is None else {"seed"}
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=idle, serialize_as_any=True)
        data["evaluate"]["models"] = self.models()
        return data


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe for a sweep: overrides with several values, such as `stages.samples.n=4,8`, form a grid.

    The grid replaces the parameters of the recipe's own `sweep` block, if it has one.

    Raises the same errors as `load_recipe`.
    """
    plain: list[str] = []
    grid: dict[str, list[Any]] = {}
    for item in overrides:
        name, _, text = item.partition("=")
        values = _several(text) if name.strip() else None
        if name.strip() in grid or (values is not None and any(one.partition("=")[0] == name for one in plain)):
            raise RecipeError(f"override {name.strip()!r} is given twice: list all of its values once")
        if values is None:
            plain.append(item)
        else:
            grid[name.strip()] = values
    recipe = load_recipe(path, plain)
    if not grid:
        return recipe
    block = recipe.written.data.get("sweep")
    kept = {key: value for key, value in (block or {}).items() if key not in ("parameters", "linked", "method")}
    return recipe.varied({"sweep": kept | {"method": "grid", "parameters": grid}})


def _several(text: str) -> list[Any] | None:
    """The comma-separated values of an override; None if there is only one, or if they cannot be read."""
    try:
        values = parse_value(f"[{text}]", "override")
    except RecipeError:
        return None
    return values if isinstance(values, list) and len(values) > 1 else None


def load_recipe(path: str | Path, overrides: Sequence[str] = (), own_task: OwnTask = task_class) -> Recipe:
    """Read and validate a recipe with `key=value` overrides applied.

    The file of a user's own task is run; for a recipe that is not the user's own, `own_task` supplies another class.

    Raises:
        RecipeError: with every problem of the file and of the overrides.
        DataError: the task's own settings cannot be used.
    """
    read = read_recipe(path)
    return _checked(Written(read.data, str(path), read.places, (), own_task, read.text), overrides)


def parse_recipe(
    text: str, source: str, own_task: OwnTask = task_class, environment: Mapping[str, str] | None = None
) -> Recipe:
    """Parse a recipe that orch has written itself: the text is complete, with paths relative to the working folder.

    `source` is its name in messages; `environment` contains the variables that it may use. Raises the same errors as
    `load_recipe`.
    """
    data, lines = parse(text, source, environment)
    if not isinstance(data, dict):
        raise RecipeError(f"{source}: must be a block of keys (name, task, model, stages, evaluate)")
    places = {keys: Place(source, line) for keys, line in lines.items()}
    return _checked(Written(data, source, places, (), own_task, text), ())


def _checked(written: "Written", overrides: Sequence[str]) -> Recipe:
    written, problems = _overridden(written, overrides)
    try:
        recipe = written.recipe()
    except RecipeError as error:
        raise RecipeError(*problems, *error.problems) from None
    if problems:
        raise RecipeError(*problems)
    return recipe


@dataclass(frozen=True, slots=True)
class Written:
    """A recipe as it is written, and the settings that were changed since it was read."""

    data: Mapping[str, Any]
    source: str
    places: Mapping[tuple[str, ...], Place]
    """The file and line of each setting."""
    changed: tuple[tuple[str, ...], ...]
    """The paths of the changed settings, which messages call overrides."""
    own_task: OwnTask
    text: str = ""
    """The whole text as it was read, including comments."""

    def varied(self, changes: Mapping[str, Any]) -> "Written":
        """A copy with other values for some settings, by dotted name.

        Raises:
            RecipeError: a name leads into a single value, or is nested too deeply.
        """
        data, paths = dict(self.data), []
        problems: list[str] = []
        for name, value in changes.items():
            try:
                paths.append(_put(data, name, value))
            except RecipeError as error:
                problems += error.problems
        if problems:
            raise RecipeError(*problems)
        for ours, theirs in (("seed", "seeds"), ("seeds", "seed")):
            if (ours,) in paths and (theirs,) not in paths and data.get(ours) is not None:
                data.pop(theirs, None)  # changing one replaces the other in the recipe
        return replace(self, data=data, changed=(*self.changed, *paths))

    @property
    def overrides(self) -> dict[str, Any]:
        """The settings changed since the recipe was read, by dotted name, except those of its `sweep`."""
        found: dict[str, Any] = {}
        for path in self.changed:
            value: Any = self.data
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            if path[0] != "sweep":
                found[".".join(path)] = value
        return found

    def recipe(self, task: Task | None = None) -> "Recipe":
        """The validated recipe. `task`: an already built task, known to equal the one described here."""
        return _build(self, task)


def load_task(overrides: Sequence[str]) -> Task:
    """A task with only an answer format and a judge, set by overrides such as `format.type=boxed`, `judge.type=math`.

    Raises:
        RecipeError: with every problem of the overrides.
    """
    bare = Written({"type": "file", "test": {"generate": 1}}, "overrides", {}, (), task_class)
    written, refused = _overridden(bare, overrides)
    problems: list[tuple[Loc, str]] = []
    task = read_task(dict(written.data), problems)
    if task is None or problems or refused:
        of_the_task = replace(written, changed=tuple(("task", *path) for path in written.changed))
        raise RecipeError(*refused, *(_line(of_the_task, loc, text) for loc, text in problems))
    return task


def _overridden(written: Written, overrides: Sequence[str]) -> tuple[Written, list[str]]:
    """A recipe with its overrides applied, and the problems of those that cannot be read or applied."""
    changes: dict[str, Any] = {}
    problems: list[str] = []
    for item in overrides:
        try:
            change = change_of(item)
            written.varied(changes | change)
        except RecipeError as error:
            problems += error.problems
        else:
            changes |= change
    return written.varied(changes), problems


def change_of(item: str) -> dict[str, Any]:
    """An override `key=value`, whose value is YAML, as a change to a recipe. RecipeError if it cannot be read."""
    dotted, equals, value = item.partition("=")
    where = f"override {clipped(item, 200)!r}"
    if not equals or not all(part.strip() for part in dotted.split(".")):
        raise RecipeError(f"{where}: must read key=value, such as stages.rft.learning_rate=1e-4")
    name = dotted.strip()
    return {name: located(parse_value(value, where), lambda _: None, tuple(name.split(".")))}


def _put(data: dict[str, Any], name: str, value: Any) -> tuple[str, ...]:
    """Put a value in its place in the recipe and return the keys that lead there."""
    keys = tuple(name.split("."))
    where = f"override {clipped(name, 200)!r}"
    if len(keys) > DEEPEST:
        raise RecipeError(f"{where}: names {len(keys):,} nested blocks; a recipe has at most {DEEPEST} levels")
    block: Any = data
    for key in keys[:-1]:
        inner = block.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise RecipeError(f"{where}: {clipped(key)!r} is a single value and has no {clipped(keys[-1])!r} inside")
        block[key] = dict(inner or {})  # a copy: a block shared through a YAML alias stays unchanged elsewhere
        block = block[key]
    block[keys[-1]] = value
    return keys


def _of_the_task(changes: Mapping[str, Any]) -> bool:
    return any(name.partition(".")[0] == "task" for name in changes)


_ELSEWHERE = dict.fromkeys(
    ("wandb", "tracking", "mlflow", "logger", "logging"),
    "is not a recipe block: every run is logged to MLflow (MLFLOW_TRACKING_URI, else ./mlruns); `orch ui` shows it",
)
"""Blocks that people write by mistake, and what orch uses instead."""


def _build(written: Written, known_task: Task | None) -> Recipe:
    data, source, own_task = written.data, written.source, written.own_task
    problems: list[tuple[Loc, str]] = []
    for key in data:
        if key not in Recipe.model_fields or key in _NOT_WRITTEN:
            known = [name for name in Recipe.model_fields if name not in _NOT_WRITTEN]
            problems.append(((key,), _ELSEWHERE.get(str(key)) or unknown("key", str(key), known)))
    task = known_task or read_task(data.get("task"), problems, own_task)
    model = validate(ModelSpec, data["model"], ("model",), problems) if data.get("model") is not None else None
    stages = read_stages(data.get("stages"), problems)
    own = tuple(stages)
    repeat, stages = read_rounds(data.get("repeat"), stages, problems)
    block = data.get("evaluate")
    evaluate = validate(Evaluate, {} if block is None else block, ("evaluate",), problems)
    sweep = validate(Sweep, data["sweep"], ("sweep",), problems) if data.get("sweep") is not None else None
    head = validate(Head, {key: data[key] for key in Head.model_fields if key in data}, (), problems)
    if data.get("seed") is not None and data.get("seeds") is not None:
        problems.append((("seeds",), "seed and seeds both say which seeds to run: keep one of them"))
    check_references(stages, evaluate or Evaluate(), problems)
    check_splits(data.get("task"), evaluate or Evaluate(), problems)
    if sweep is not None:
        check_sweep(sweep, stages, evaluate or Evaluate(), data.get("task"), problems)
    problems += [((key,), "is missing") for key in ("task", "model", "stages") if data.get(key) is None]
    if problems := said_once(problems, own):
        shown = [_line(written, loc, text) for loc, text in problems[:_MOST_SHOWN]]
        if len(problems) > _MOST_SHOWN:
            shown.append(f"{source}: ... and {len(problems) - _MOST_SHOWN:,} more problems")
        raise RecipeError(*shown)
    assert head is not None
    parts: dict[str, Any] = {"task": task, "model": model, "stages": stages, "evaluate": evaluate, "source": source}
    parts |= {"written": written, "repeat": repeat, "sweep": sweep}
    return Recipe.model_construct(**{name: getattr(head, name) for name in Head.model_fields}, **parts)


def _line(written: Written, loc: Loc, text: str) -> str:
    path = tuple(str(part) for part in loc)
    dotted = ".".join(clipped(part) for part in path)
    if any(path[: len(keys)] == keys for keys in written.changed):
        return f"override {dotted}: {text}"
    while path and path not in written.places:
        path = path[:-1]
    return f"{written.places[path] if path else written.source}: {dotted}: {text}"
