"""The evaluated models of a run, as the store has them: what they answered, what they cost, what made them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError, InputError, OutputError, RecipeError
from orchestrator.health.findings import findings_of
from orchestrator.recipe.plain import behind, block, made_from
from orchestrator.recipe.yaml_source import read_data
from orchestrator.store.base import StoredRun
from orchestrator.store.find import PastRuns
from orchestrator.store.names import (
    RESULTS,
    output_of,
)
from orchestrator.store.tables import readable
from orchestrator.tasks.judged_by import judged_by_settings
from orchestrator.types import BASE, Finding

RECIPE_FILE = "recipe.yaml"


@dataclass(frozen=True, slots=True)
class PastModel:
    """One model of one run of one seed, as it was evaluated on one split."""

    model: str
    seed: int | None
    """None where no seed changes it: the base."""
    run_id: str
    """Its run in MLflow."""
    above: str
    """The run of `orch run` that it is in."""
    recipe: Mapping[str, Any]
    """Of that run: plain data, as it was written down."""
    key: str
    """Of the evaluation: equal keys are the same model and the same questions."""
    made_from: str
    """Of the recipe's text: equal for models of one text that differ in their seed alone."""
    results: Path
    accuracy: float | None
    """As its run has it."""
    seconds: float | None
    gpu_hours: float | None
    findings: tuple[Finding, ...]
    """Of the run and of the stages behind the model."""
    recipe_digest: str | None = None
    """Equal for models that differ in their seed alone, by the content of all they stand on; None: an older run."""
    judging_digest: str | None = None
    """Equal where answers are asked for, read and judged alike; None: an older run."""
    judged_by: str | None = None
    """How answers were read and judged, in words; None: it is not known."""
    also: str | None = None
    """The further split of its recipe that it was asked; None: the one that the recipe compares on."""

    @property
    def on(self) -> str:
        """The split that it was asked."""
        return self.also or split_of(self.recipe)


def same_recipe(ours: PastModel, theirs: PastModel) -> bool:
    """Whether two models were made and asked alike but for their seed, as far as their runs tell."""
    if None in (ours.recipe_digest, theirs.recipe_digest):
        return ours.model == theirs.model and ours.made_from == theirs.made_from
    return ours.model == theirs.model and ours.recipe_digest == theirs.recipe_digest


def past_models(runs: PastRuns, run: StoredRun, on: str | None = None) -> list[PastModel]:
    """What a run of one seed or of several has evaluated: on the split `on`, else on the one its recipe compares on.

    An evaluation whose file is damaged is not among it; `runs.damaged` says which and why.

    Raises:
        InputError: it was not made by `orch run`.
    """
    return list(_models(runs, run, run.run_id, on))


def not_evaluated(runs: PastRuns, run: StoredRun, on: str | None = None) -> list[str]:
    """The models that a run's recipe evaluates and the run has not: one that failed, was killed, or still goes on."""
    children = runs.children(run.run_id)
    seeds = [child for child in children.values() if child.is_trial]
    if seeds:
        return [f"{name} of {child.name}" for child in seeds for name in not_evaluated(runs, child, on)]
    recipe = recipe_of(runs, run)
    wanted = block(recipe, "evaluate").get("models") or ()  # a run's recipe has every default written out
    also = None if on in (None, split_of(recipe)) else on
    return [name for name in wanted if name not in children or children[name].evaluation_key(also) is None]


def split_of(recipe: Mapping[str, Any]) -> str:
    """The split that a recipe compares its models on."""
    return str(block(recipe, "evaluate").get("on", "test"))


def recipe_of(runs: PastRuns, run: StoredRun) -> Mapping[str, Any]:
    """The recipe that a run wrote down.

    Raises:
        InputError: it has none that can be read.
    """
    try:
        data = read_data(runs.artifact(run.run_id, RECIPE_FILE), f"the recipe of run {run.run_id}")
    except OSError:
        data = None
    except RecipeError as error:
        raise InputError(*error.problems) from None
    if not isinstance(data, dict):
        raise InputError(f"run {run.run_id} was not made by `orch run`: it has no {RECIPE_FILE} that can be read")
    return data


def _models(runs: PastRuns, run: StoredRun, above: str, on: str | None) -> Iterator[PastModel]:
    children = runs.children(run.run_id)
    seeds = [one for one in children.values() if one.is_trial]
    if seeds:
        for one in seeds:
            yield from _models(runs, one, above, on)
        return
    recipe = recipe_of(runs, run)
    stages, seed = block(recipe, "stages"), int(recipe.get("seed", 0))
    also = None if on in (None, split_of(recipe)) else on
    for model in (BASE, *stages):
        child = children.get(model)
        if child is None or (key := child.evaluation_key(also)) is None:
            continue
        try:
            results = readable(runs.output(child.evaluation_origin(also), output_of(RESULTS, also)))
        except (OutputError, DataError) as error:
            runs.damaged.append(f"model {model} of run {above[:8]}: {'; '.join(error.problems)}.")
            continue
        made_by = [children[name] for name in behind(stages, model) if name in children]
        yield PastModel(
            model=model,
            seed=None if model == BASE else seed,
            run_id=child.run_id,
            above=above,
            recipe=recipe,
            key=key,
            made_from=made_from(recipe, model),
            results=results,
            accuracy=child.metrics.get("accuracy" if also is None else f"{also}/accuracy"),
            seconds=_sum(made_by, "seconds"),
            gpu_hours=_sum(made_by, "gpu_hours"),
            findings=tuple(finding for one in (run, *made_by) for finding in findings_of(one.tags)),
            recipe_digest=child.recipe_digest(also),
            judging_digest=child.judging_digest(also),
            judged_by=child.judged_by(also) or judged_by_settings(block(recipe, "task")),  # an older run
            also=also,
        )


def _sum(made_by: Sequence[StoredRun], metric: str) -> float | None:
    """Of all that made a model; None where not all of it is known, or nothing made it."""
    values = [one.metrics[metric] for one in made_by if metric in one.metrics]
    return sum(values) if values and len(values) == len(made_by) else None
