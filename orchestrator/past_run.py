"""A run as the store has it: its recipe, its models, what they wrote. For every verb that looks back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.health.curves import NAMES
from orchestrator.health.report import FINDING_TAG, read_back
from orchestrator.model_ref import ModelRef, find_model
from orchestrator.outputs import MODEL, RESULTS
from orchestrator.recipe import BASE, Recipe, load_recipe
from orchestrator.start_model import StartModel, resolve_start
from orchestrator.tracking import Store, store_exists, tracking_uri
from orchestrator.types import Finding

RECIPE_FILE = "recipe.yaml"
_CURVES = tuple(dict.fromkeys((*NAMES, "frac_reward_zero_std", "completions/clipped_ratio")))
"""The curves that are read, and those that are only watched."""


@dataclass(frozen=True, slots=True)
class PastStage:
    """A stage of a run, or its base model."""

    name: str
    verb: str
    run_id: str
    status: str
    """MLflow's: FINISHED, FAILED, KILLED or RUNNING."""
    error: str | None
    store: Store = field(repr=False)
    origin: str
    """The run that has what it made: the one that made it first, if it was reused."""
    results: Path | None
    """Its evaluation, one row per question; None where it was not evaluated."""
    curves: Mapping[str, list[tuple[int, float]]]
    """Points (step, value) of each training curve."""
    noticed: tuple[Finding, ...]
    """What was found while it ran."""

    def model(self) -> Path:
        """The folder of the model it made: a copy where the store is elsewhere; none where the model is lost."""
        return self.store.artifact(self.origin, MODEL)


@dataclass(frozen=True, slots=True)
class PastRun:
    """One `orch run`, looked back at."""

    run_id: str
    experiment: str
    status: str
    error: str | None
    recipe: Recipe
    start: StartModel
    stages: Mapping[str, PastStage]

    def models(self) -> list[str]:
        """The models it evaluated or made, in the recipe's order."""
        return [BASE, *(name for name, spec in self.recipe.stages.items() if spec.MAKES_MODEL and self._made(name))]

    def _made(self, name: str) -> bool:
        """Whether a stage came to a model: one that failed may have left none, and one that is lost was made."""
        stage = self.stages.get(name)
        return stage is not None and (stage.status == "FINISHED" or stage.model().is_dir())

    def model(self, name: str) -> ModelRef:
        """What a model is loaded from. Raises InputError where the run has no such model, or it is not whole."""
        if name not in self.models():
            raise InputError(f"run {self.run_id} has no model {name!r}; its models: {', '.join(self.models())}")
        return find_model(self.recipe, self.start, name, lambda stage: self.stages[stage].model())


def past_run(wanted: str | None = None) -> tuple[PastRun, str | None]:
    """The run with that id, or the newest; beside it the model that the id itself names, where it is a stage's.

    Raises:
        TrackingError: no such run.
        InputError: its recipe is not there, or cannot be used any more.
    """
    if not store_exists():
        raise InputError(f"there is no MLflow store at {tracking_uri()}; run a recipe first, or change to its folder")
    store = Store()
    run = store.find(None if wanted == "last" else wanted)
    parent = run.data.tags.get("mlflow.parentRunId", run.info.run_id)
    named = run.data.tags.get("orch.model") if parent != run.info.run_id else None
    if parent != run.info.run_id:
        run = store.find(parent)
    file = store.artifact(parent, RECIPE_FILE)
    if not file.is_file():
        raise InputError(f"run {parent} was not made by `orch run`: it has no {RECIPE_FILE}")
    recipe = load_recipe(file)
    tags = run.data.tags
    stages = {stage.name: stage for stage in _stages(store, parent)}
    found = PastRun(
        parent,
        store.experiment_of(parent),
        str(run.info.status),
        tags.get("orch.error"),
        recipe,
        resolve_start(recipe.model),
        stages,
    )
    return found, named


def _stages(store: Store, parent: str) -> Iterator[PastStage]:
    for name, run in store.children(parent).items():
        tags: dict[str, Any] = run.data.tags
        run_id = run.info.run_id
        origin = tags.get("orch.cached_from", run_id)
        results = store.artifact(tags.get("orch.eval_cached_from", run_id), RESULTS)
        curves = {c: store.history(origin, c) for c in _CURVES if c in run.data.metrics or origin != run_id}
        yield PastStage(
            name,
            tags.get("orch.verb", ""),
            run_id,
            str(run.info.status),
            tags.get("orch.error"),
            store,
            origin,
            results if results.is_file() else None,
            {c: points for c, points in curves.items() if points},
            tuple(
                read_back(tag.removeprefix(FINDING_TAG), text)
                for tag, text in tags.items()
                if tag.startswith(FINDING_TAG)
            ),
        )
