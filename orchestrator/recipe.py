"""The recipe: one YAML file, validated whole, every problem reported at once.

Knows the schemas and nothing of how they are carried out: neither torch, ray, trl nor mlflow is imported here.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from orchestrator.check_names import CHECKS
from orchestrator.errors import DataError, RecipeError
from orchestrator.lineage import is_adapter
from orchestrator.schema_errors import Loc, unknown, validate
from orchestrator.stage_specs import (
    NAME,
    STAGE_SPECS,
    EvaluateSpec,
    Fraction,
    PositiveFloat,
    SelectSpec,
    SftSpec,
    Spec,
    StageSpec,
    TrainingSpec,
)
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.base import SPLITS
from orchestrator.yaml_source import parse, parse_value

BASE = "base"
"""The name of the model that a recipe starts from."""
WATCHED = (
    "loss-not-finite",
    "gradient-not-finite",
    "learning-rate-zero",
    "loss-too-low",
    "loss-too-high",
    "groups-alike",
    "completions-clipped",
    "answer-rate-zero",
)
"""What is watched for while a recipe runs (health/watch.py)."""
RESERVED = (BASE, "demonstrations", "train", "test", "validation", "evaluate")


class ModelSpec(Spec):
    """The model that training starts from."""

    name: str = Field(min_length=1)
    """`tiny` (ships with orch), a folder, or a Hub id such as Qwen/Qwen2.5-0.5B-Instruct."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """What is computed in; auto: bfloat16 where the GPU has it, float16 on older ones, float32 on the CPU."""


class Limits(Spec):
    """What a recipe must stay within, and what ends it early. None of it changes what is made."""

    adapter_mb: PositiveFloat = 20
    """Megabytes of an adapter on disk."""
    bundle_mb: PositiveFloat = 100
    """Megabytes of an exported bundle (`orch export --bundle`)."""
    difference: Fraction = 0.1
    """The difference in accuracy one hopes to see: the test set has to be large enough to show it."""
    stop_on: tuple[str, ...] = ()
    """Warnings that end a stage that is running, such as `loss-not-finite`; `all` for every one of them."""
    ignore: tuple[str, ...] = ()
    """Checks whose findings are only told, such as `test-in-training`: they refuse nothing and end nothing."""

    @property
    def ends_on(self) -> tuple[str, ...]:
        """What ends a stage that is running: `stop_on` without what is ignored."""
        named = WATCHED if "all" in self.stop_on else self.stop_on
        return tuple(name for name in named if name not in self.ignore)

    @field_validator("stop_on", "ignore", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("stop_on")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in (*WATCHED, "all"):
                raise ValueError(f"unknown warning {name!r} (choices: all, {', '.join(WATCHED)})")
        return value

    @field_validator("ignore")
    @classmethod
    def _checks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in CHECKS:
                raise ValueError(unknown("check", name, CHECKS))
        return value


Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""As far as NumPy's go."""


class Head(Spec):
    """What a recipe says of itself."""

    name: str = Field(min_length=1, max_length=200)
    """The MLflow experiment."""
    seed: Seed = 0
    """Seed of training and sampling; the questions have their own, `task.seed`."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] | None = None
    """Instead of `seed`: the stages are run once for each of these, and figures are averaged over them."""
    storage: Path | None = None
    """Folder for work in progress, shared by all machines of a cluster; default: `work` beside the MLflow store."""
    allow_format_change: bool = False
    """Use a model under another answer format than it was trained with; every report then says so."""
    limits: Limits = Limits()

    @field_validator("seeds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if value is not None and not isinstance(value, list | tuple):
            raise ValueError(f"must be a list of seeds, such as [0, 1, 2], not {value!r}")
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        twice = [seed for place, seed in enumerate(value or ()) if seed in (value or ())[:place]]
        if twice:
            raise ValueError(f"{twice[0]} stands twice: the same seed makes the same models; keep one")
        return value


class Recipe(Head):
    """A validated experiment."""

    task: Task
    model: ModelSpec
    stages: dict[str, StageSpec]
    evaluate: EvaluateSpec
    source: str = Field(exclude=True)
    """Where it was read."""

    def models(self) -> list[str]:
        """The models this recipe evaluates, in order."""
        if self.evaluate.models is not None:
            return list(dict.fromkeys(self.evaluate.models))
        return [BASE, *(name for name, spec in self.stages.items() if spec.MAKES_MODEL)]

    def with_seed(self, seed: int) -> "Recipe":
        """The same experiment with one seed, as `orch run RECIPE seed=S` would run it; the task is shared."""
        return self.model_copy(update={"seed": seed, "seeds": None})

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain data; loads as a recipe again."""
        idle = None if self.seeds is None else {"seed"}
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=idle, serialize_as_any=True)
        data["evaluate"]["models"] = self.models()
        return data


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe with `key=value` overrides applied.

    Raises:
        RecipeError: with every problem of the file and of the overrides.
        DataError: where the task's own settings cannot be used.
    """
    source = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{source}: no such recipe; the shipped ones are in recipes/") from None
    except IsADirectoryError:
        raise RecipeError(f"{source}: is a folder; name a recipe, a .yaml file") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{source}: is not a text file") from None
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
        if (ours,) in overridden and (theirs,) not in overridden:
            data.pop(theirs, None)  # an override of one takes the place of the file's other
    try:
        recipe = _build(data, source, lines, overridden)
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
    task = _task(data, problems)
    if task is None or problems or refused:
        raise RecipeError(*refused, *(_line("overrides", {}, overridden, loc, text) for loc, text in problems))
    return task


def _override(data: dict[str, Any], item: str) -> tuple[str, ...]:
    """Put one override in its place in the recipe; the keys that lead there."""
    dotted, equals, value = item.partition("=")
    keys = tuple(dotted.strip().split("."))
    if not equals or not all(keys):
        raise RecipeError(f"override {item!r}: must read key=value, such as stages.rft.learning_rate=1e-4")
    block: Any = data
    for key in keys[:-1]:
        inner = block.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise RecipeError(f"override {item!r}: {key!r} is a single value, it has no {keys[-1]!r} inside")
        block[key] = dict(inner or {})  # a copy: a block that YAML shares by an alias stays as it is elsewhere
        block = block[key]
    block[keys[-1]] = parse_value(value, f"override {item!r}")
    return keys


def _build(
    data: dict[str, Any], source: str, lines: dict[tuple[str, ...], int], overridden: Sequence[tuple[str, ...]]
) -> Recipe:
    problems: list[tuple[Loc, str]] = []
    for key in data:
        if key not in Recipe.model_fields or key == "source":
            problems.append(((key,), unknown("key", str(key), [k for k in Recipe.model_fields if k != "source"])))
    task = _task(data.get("task"), problems)
    model = validate(ModelSpec, data["model"], ("model",), problems) if data.get("model") is not None else None
    stages = _stages(data.get("stages"), problems)
    block = data.get("evaluate")
    evaluate = validate(EvaluateSpec, {} if block is None else block, ("evaluate",), problems)
    head = validate(Head, {key: data[key] for key in Head.model_fields if key in data}, (), problems)
    if data.get("seed") is not None and data.get("seeds") is not None:
        problems.append((("seeds",), "seed and seeds both say which seeds to run: keep one of them"))
    _check_references(stages, evaluate or EvaluateSpec(), problems)
    _check_splits(data.get("task"), evaluate or EvaluateSpec(), problems)
    problems += [((key,), "is missing") for key in ("task", "model", "stages") if data.get(key) is None]
    if problems:
        raise RecipeError(*(_line(source, lines, overridden, loc, text) for loc, text in problems))
    assert head is not None
    parts: dict[str, Any] = {"task": task, "model": model, "stages": stages, "evaluate": evaluate, "source": source}
    return Recipe.model_construct(**{name: getattr(head, name) for name in Head.model_fields}, **parts)


def _line(
    source: str, lines: dict[tuple[str, ...], int], overridden: Sequence[tuple[str, ...]], loc: Loc, text: str
) -> str:
    path = tuple(str(part) for part in loc)
    dotted = ".".join(path)
    if any(path[: len(keys)] == keys for keys in overridden):
        return f"override {dotted}: {text}"
    while path and path not in lines:
        path = path[:-1]
    where = f"{source}:{lines[path]}" if path else source
    return f"{where}: {dotted}: {text}"


def _task(data: Any, problems: list[tuple[Loc, str]]) -> Task | None:
    if data is None:
        return None
    if isinstance(data, str):
        data = {"type": data}
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        problems.append((("task", "type"), f"is missing (choices: {', '.join(TASKS)}, or my_task.py:MyTask)"))
        return None
    name = data["type"]
    if ".py:" in name:
        try:
            cls = _own_task(name)
        except DataError as error:
            problems.append((("task", "type"), str(error)))
            return None
    elif name in TASKS:
        cls = TASKS[name]
    else:
        problems.append((("task", "type"), unknown("task", name, [*TASKS, "my_task.py:MyTask"])))
        return None
    return validate(cls, data, ("task",), problems)


def _own_task(name: str) -> type[Task]:
    """The class that `my_task.py:MyTask` names. It is the user's own code, and it is run."""
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}: no such file (relative to {Path.cwd()})")
    module_name = f"orch_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file: whatever it raises is theirs to mend
        raise DataError(f"{file}: cannot be imported: {type(error).__name__}: {error}") from error
    cls = getattr(module, attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, Task) and cls is not Task):
        raise DataError(f"{file}: has no class {attribute!r} that is a subclass of orchestrator.Task")
    cls.SOURCE = hashlib.sha256(path.read_bytes()).hexdigest()
    return cls


def _stages(data: Any, problems: list[tuple[Loc, str]]) -> dict[str, StageSpec]:
    stages: dict[str, StageSpec] = {}
    if data is None:
        return stages
    if not isinstance(data, dict) or not data:
        problems.append((("stages",), "must be a block of stages, each with a name and a type"))
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


_BROKEN = StageSpec()
"""Stands for a stage that is wrong itself, so that no stage that uses it is called wrong too."""


def _check_references(stages: dict[str, StageSpec], evaluate: EvaluateSpec, problems: list[tuple[Loc, str]]) -> None:
    order = list(stages)
    for index, (name, spec) in enumerate(stages.items()):
        for field, wanted, kind in references(spec):
            path: Loc = ("stages", name, field)
            if wanted in order[:index]:
                fits = stages[wanted] is _BROKEN or _fits(stages[wanted], kind)
                if not fits:
                    problems.append((path, f"{wanted!r} is a {verb_of(stages[wanted])} stage, not {kind}"))
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


def _check_splits(task: Any, evaluate: EvaluateSpec, problems: list[tuple[Loc, str]]) -> None:
    further = task.get("further") if isinstance(task, dict) else None  # as it is written: it may be wrong itself
    choices = [*SPLITS, *(str(name) for name in further)] if isinstance(further, dict) else list(SPLITS)
    if evaluate.on not in choices:
        problems.append((("evaluate", "on"), unknown("split", evaluate.on, choices)))
    for position, name in enumerate(evaluate.also):
        path: Loc = ("evaluate", "also", position)
        if name not in choices:
            problems.append((path, unknown("split", name, choices)))
        elif name in (evaluate.on, *evaluate.also[:position]):
            problems.append((path, f"{name!r} is evaluated on already; leave it out"))


def references(spec: StageSpec) -> list[tuple[str, str, str]]:
    """The stages that a stage uses: (field, stage, what it must be)."""
    found = []
    model = getattr(spec, "model", BASE)
    if model != BASE:
        found.append(("model", model, "one that makes a model"))
    if isinstance(spec, SftSpec):
        found += [("data", name, "a select stage") for name in spec.data if name != "demonstrations"]
    if isinstance(spec, SelectSpec):
        found.append(("from", spec.source, "a sample stage"))
    return found


def _extra(kind: str) -> list[str]:
    return {"one that makes a model": [BASE], "a select stage": ["demonstrations"]}.get(kind, [])


def _fits(spec: StageSpec, kind: str) -> bool:
    if kind == "one that makes a model":
        return spec.MAKES_MODEL
    return verb_of(spec) == {"a select stage": "select", "a sample stage": "sample"}[kind]


def verb_of(spec: StageSpec) -> str:
    """The verb that a stage of a recipe names as its type."""
    return str(getattr(spec, "type", "?"))


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
