"""The evaluated models of a run, as stored: their answers, their cost, and their origin."""

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
    """One model of a single-seed run, as evaluated on one split."""

    model: str
    seed: int | None
    """None if no seed affects it: the base model."""
    run_id: str
    """Its MLflow run."""
    above: str
    """The `orch run` that it belongs to."""
    recipe: Mapping[str, Any]
    """The recipe recorded with that run, as plain data."""
    key: str
    """The evaluation's key: equal keys mean the same model and the same questions."""
    made_from: str
    """A digest of the recipe's text: equal for models whose recipes differ only in the seed."""
    results: Path
    accuracy: float | None
    """As logged in its run."""
    seconds: float | None
    gpu_hours: float | None
    findings: tuple[Finding, ...]
    """Those of the run and of the stages behind the model."""
    recipe_digest: str | None = None
    """Equal for models that differ only in their seed, by the content of all they depend on; None: an older run."""
    judging_digest: str | None = None
    """Equal if answers are prompted for, parsed and judged alike; None: an older run."""
    judged_by: str | None = None
    """How answers were parsed and judged, in words; None if unknown."""
    also: str | None = None
    """The further split that it was evaluated on; None: the split that its recipe compares models on."""

    @property
    def on(self) -> str:
        """The split that it was evaluated on."""
        return self.also or split_of(self.recipe)


def same_recipe(ours: PastModel, theirs: PastModel) -> bool:
    """Whether two models were trained and evaluated alike except for their seed, as far as their runs show."""
    if None in (ours.recipe_digest, theirs.recipe_digest):
        return ours.model == theirs.model and ours.made_from == theirs.made_from
    return ours.model == theirs.model and ours.recipe_digest == theirs.recipe_digest


def past_models(runs: PastRuns, run: StoredRun, on: str | None = None) -> list[PastModel]:
    """The models that a run of one or several seeds has evaluated on split `on`, by default the recipe's main split.

    A model whose evaluation is damaged is left out; `runs.damaged` says which and why.

    Raises:
        InputError: it was not created by `orch run`.
    """
    return list(_models(runs, run, run.run_id, on))


def not_evaluated(runs: PastRuns, run: StoredRun, on: str | None = None) -> list[str]:
    """The models that a run's recipe evaluates but the run, having failed or being unfinished, has not evaluated."""
    children = runs.children(run.run_id)
    seeds = [child for child in children.values() if child.is_trial]
    if seeds:
        return [f"{name} of {child.name}" for child in seeds for name in not_evaluated(runs, child, on)]
    recipe = recipe_of(runs, run)
    wanted = block(recipe, "evaluate").get("models") or ()  # a recorded recipe has all defaults filled in
    also = None if on in (None, split_of(recipe)) else on
    return [name for name in wanted if name not in children or children[name].evaluation_key(also) is None]


def split_of(recipe: Mapping[str, Any]) -> str:
    """The split that a recipe compares its models on."""
    return str(block(recipe, "evaluate").get("on", "test"))


def recipe_of(runs: PastRuns, run: StoredRun) -> Mapping[str, Any]:
    """The recipe that a run recorded.

    Raises:
        InputError: it has no readable recipe.
    """
    try:
        data = read_data(runs.artifact(run.run_id, RECIPE_FILE), f"the recipe of run {run.run_id}")
    except OSError:
        data = None
    except RecipeError as error:
        raise InputError(*error.problems) from None
    if not isinstance(data, dict):
        raise InputError(f"run {run.run_id} was not created by `orch run`: it has no readable {RECIPE_FILE}")
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
    """The total over the stages behind a model; None if there are none, or some lack the metric."""
    values = [one.metrics[metric] for one in made_by if metric in one.metrics]
    return sum(values) if values and len(values) == len(made_by) else None
