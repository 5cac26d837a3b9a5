"""A past run as stored: its recipe, its models, their output. Used by every command that looks at past runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import InputError, RecipeError, UntrustedCode
from orchestrator.health.findings import findings_of
from orchestrator.models.reference import ModelRef
from orchestrator.models.start import StartModel, resolve_start
from orchestrator.recipe.graph import find_model
from orchestrator.recipe.reading import recipe_text
from orchestrator.recipe.recipe import Recipe, parse_recipe
from orchestrator.recipe.stored_task import StoredCode, StoredTask
from orchestrator.schema import clipped
from orchestrator.stages import every_verb, verb_of
from orchestrator.stages.base import Kind
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import MODEL, PROPOSED, RESULTS, SWEEP, TASK_FILE, TASK_MODULES, TASK_TAG
from orchestrator.store.opening import open_store
from orchestrator.tasks import Task
from orchestrator.types import BASE, Finding

RECIPE_FILE = "recipe.yaml"
_CURVES = tuple(dict.fromkeys(name for verb in every_verb() for name in verb.CURVES))
"""Every curve that some verb keeps."""


@dataclass(frozen=True, slots=True)
class PastStage:
    """A stage of a run, or its base model."""

    name: str
    verb: str
    run_id: str
    status: str
    """MLflow's status: FINISHED, FAILED, KILLED or RUNNING."""
    error: str | None
    store: Store = field(repr=False)
    origin: str
    """The run that holds its output: the one that first produced it, if it was reused."""
    results: Path | None
    """The file of its evaluation, one row per question; None if it was not evaluated."""
    curves: Mapping[str, list[tuple[int, float]]]
    """Points (step, value) of each training curve."""
    chosen: int | None
    """The step it selected, if there was a choice."""
    noticed: tuple[Finding, ...]
    """Findings from while it ran."""
    metrics: Mapping[str, float]
    """The last value of each metric, even if the training was reused."""
    run: StoredRun
    """Everything that the store has on it."""

    @property
    def output(self) -> str | None:
        """The artifact that its verb produces; None for the base model, and for a verb unknown to this version."""
        verb = verb_of(self.verb)
        return None if verb is None or verb.MAKES is Kind.RESULTS else verb.OUTPUT

    @property
    def headline(self) -> str:
        """The main curve of its verb."""
        verb = verb_of(self.verb)
        return "" if verb is None else verb.HEADLINE

    def model(self, unchanged: bool = False) -> Path:
        """The folder of its model: a local copy if the store is remote; it does not exist if the model is lost.

        Raises:
            OutputError: `unchanged` is set, and the model has changed since it was written.
        """
        folder = self.store.artifact(self.origin, MODEL)
        return self.store.output(self.origin, MODEL) if unchanged and folder.is_dir() else folder


@dataclass(frozen=True, slots=True)
class PastRun:
    """One past `orch run`."""

    run_id: str
    experiment: str
    status: str
    error: str | None
    recipe: Recipe
    start: StartModel
    stages: Mapping[str, PastStage]

    def models(self) -> list[str]:
        """The models it evaluated or produced, in the recipe's order."""
        return [BASE, *(name for name, spec in self.recipe.stages.items() if spec.makes_model and self._made(name))]

    def _made(self, name: str) -> bool:
        """Whether a stage produced a model: a failed stage may not have, and a lost model counts as produced."""
        stage = self.stages.get(name)
        return stage is not None and (stage.status == "FINISHED" or stage.model().is_dir())

    def named(self, model: str) -> str:
        """Check that the run has this model; return its name.

        Raises:
            InputError: the run has no such model.
        """
        if model not in self.models():
            ended = "" if self.status == "FINISHED" else f" ({self.status.lower()})"
            raise InputError(f"run {self.run_id}{ended} has no model {model!r}; its models: {', '.join(self.models())}")
        return model

    def model(self, name: str, unchanged: bool = False) -> ModelRef:
        """The files that a model is loaded from.

        Raises:
            InputError: the run has no such model, or it is incomplete.
            OutputError: `unchanged` is set, and the model has changed since it was written.
        """
        return find_model(
            self.recipe.stages, self.start, self.named(name), lambda stage: self.stages[stage].model(unchanged)
        )


class RecipeDamaged(RecipeError):
    """A run's own recipe cannot be read; carries what else is known about the run."""

    def __init__(self, run_id: str, file: Path, stages: tuple[PastStage, ...], problems: Sequence[str]) -> None:
        super().__init__(*problems)
        self.run_id, self.file, self.stages = run_id, file, stages


def stored_recipe(store: Store, run_id: str, trust: bool = False) -> Recipe:
    """The recipe that a run recorded. A user-defined task becomes a `StoredTask`: no code is run.

    A task that defines its own settings or format is loaded itself, if its code may be run.

    Raises:
        RecipeError: it can no longer be read.
    """
    file, kept = store.artifact(run_id, RECIPE_FILE), store.artifact(run_id, TASK_FILE)
    modules = store.artifact(run_id, TASK_MODULES)
    overrides = store.find(run_id).tags.get(TASK_TAG)
    names = None if overrides is None else frozenset(overrides.split(","))
    codes: list[StoredCode] = []

    def stand_in(name: str) -> type[Task]:
        beside = modules if modules.is_dir() else None
        codes.append(StoredCode(run_id, name, kept if kept.is_file() else None, names, trust, beside))
        return StoredTask

    try:
        recipe = parse_recipe(recipe_text(file), str(file), stand_in)
    except RecipeError as error:
        if not codes or not any(": task" in problem for problem in error.problems):
            raise
        try:
            return parse_recipe(recipe_text(file), str(file), lambda _: codes[0].load())
        except UntrustedCode as refused:
            raise RecipeError(*error.problems, *refused.problems) from None
    if isinstance(recipe.task, StoredTask):
        recipe.task.belongs_to(codes[0])
    return recipe


def with_own_task(past: PastRun) -> PastRun:
    """The same run with the user-defined task itself, whose code is run, if the recipe names one.

    Raises:
        UntrustedCode: that code may not be run.
        RecipeError: it cannot be run, or does not accept the recipe's settings.
    """
    if not isinstance(past.recipe.task, StoredTask):
        return past
    return replace(past, recipe=past.recipe.model_copy(update={"task": past.recipe.task.loaded()}))


class PastRecipe(NamedTuple):
    """A run's recipe and its stages; its models are not looked up."""

    run: StoredRun
    recipe: Recipe
    stages: Mapping[str, PastStage]
    named: str | None
    """The model that the id itself names, if it is a stage's."""


def past_recipe(wanted: str | None = None, trust: bool = False) -> PastRecipe:
    """The recipe and stages of the run with that id, or of the newest.

    For a run of several seeds they are the first seed's; `seed_of` finds another. A task's code is run only with
    `trust`, or if its file is unchanged.

    Raises:
        TrackingError: no such run.
        RecipeDamaged: its recipe can no longer be read.
        InputError: it has no recipe.
    """
    store = open_store()
    run = store.find(None if wanted == "last" else wanted)
    named = None
    if run.is_stage:
        named, run = run.model, store.find(run.parent)
    run = _one_seed(store, run, None)
    parent = run.run_id
    file = store.artifact(run, RECIPE_FILE)
    if not file.is_file():
        raise InputError(f"run {parent} was not created by `orch run`: it has no {RECIPE_FILE}")
    stages = {stage.name: stage for stage in past_stages(store, parent)}
    try:
        recipe = stored_recipe(store, parent, trust)
    except RecipeError as error:
        raise RecipeDamaged(parent, file, tuple(stages.values()), error.problems) from None
    lost = sorted(stages.keys() - recipe.stages.keys() - {BASE})
    if lost:
        problem = f"{file}: it lacks stage {lost[0]!r}, which this run includes: the file is truncated"
        raise RecipeDamaged(parent, file, tuple(stages.values()), (problem,))
    return PastRecipe(run, recipe, stages, named)


def past_run(wanted: str | None = None, trust: bool = False) -> tuple[PastRun, str | None]:
    """The run with that id, or the newest, and the model that the id itself names, if it is a stage's.

    Raises, besides the errors of `past_recipe`:
        UntrustedCode: its model comes with its own code, and `trust` is not set.
        InputError: its recipe names a model that does not exist.
    """
    run, recipe, stages, named = past_recipe(wanted, trust)
    if recipe.model.trust_remote_code and not trust:
        raise UntrustedCode(
            f"run {run.run_id[:8]}: its recipe allows code that comes with the model {clipped(recipe.model.name)!r} to "
            "run (model.trust_remote_code), so the model is not loaded; --trust runs that code"
        )
    start = resolve_start(recipe.model)
    return PastRun(run.run_id, run.experiment, run.status, run.error, recipe, start, stages), named


class OneSeed(NamedTuple):
    """The run of one seed."""

    run_id: str
    seed: int
    seeds: tuple[int, ...]
    """All seeds of the run asked for; empty if it is this run itself."""
    of_a_sweep: bool
    """Whether it is the trial that a sweep tested."""


def seed_of(wanted: str | None, seed: int | None = None) -> OneSeed:
    """One seed's run of a run of several seeds, by default the first; for a sweep, the trial that was tested.

    A run with only one seed is returned as is.

    Raises:
        TrackingError: no such run.
        InputError: it has no such seed.
    """
    store = open_store()
    run = store.find(None if wanted == "last" else wanted)
    one = _one_seed(store, run, seed)
    return OneSeed(one.run_id, one.seed or 0, run.seeds, run.verb == SWEEP)


def _one_seed(store: Store, run: StoredRun, seed: int | None) -> StoredRun:
    if run.verb == SWEEP:
        tested = [one for name, one in store.children(run.run_id).items() if name.startswith(PROPOSED)]
        found = next((one for one in tested if seed in (None, one.seed)), None)
        if found is None:
            raise InputError(f"sweep {run.run_id} has tested no trial: name the run of one of its trials")
        return found
    seeds = run.seeds or (seed if run.seed is None else run.seed,)
    wanted = seeds[0] if seed is None else seed
    if wanted not in seeds:
        raise InputError(f"run {run.run_id} has no seed {wanted}; it has {', '.join(map(str, seeds))}")
    if not run.seeds:
        return run
    one = store.children(run.run_id).get(f"seed {wanted}")
    if one is None:
        raise InputError(f"the run of seed {wanted} under {run.run_id} was deleted in MLflow")
    return one


def past_stages(store: Store, parent: str) -> Iterator[PastStage]:
    """The stages of a run, and its base model if that was evaluated."""
    for name, run in store.children(parent).items():
        maker = run if run.origin == run.run_id else store.find(run.origin)
        results = store.artifact(run.evaluation_origin(), RESULTS)
        curves = {c: store.history(maker.run_id, c) for c in _CURVES if c in maker.metrics}
        yield PastStage(
            name,
            run.verb,
            run.run_id,
            run.status,
            run.error,
            store,
            maker.run_id,
            results if results.is_file() else None,
            {c: points for c, points in curves.items() if points},
            run.chosen_step,
            tuple(findings_of(run.tags)),
            {**maker.metrics, **run.metrics},
            run,
        )
