"""One `orch run` as MLflow sees it: the parent run, a run per stage, and the result read back from them.

An evaluation is written into the run of the model it judges. That run is closed by the stage that made the model; the
evaluation of a model that no stage of the recipe makes (the base) has a run of its own.
"""

import re
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.comparison import Comparison, baseline, compare_one_run, conclusions, differences
from orchestrator.errors import DataError, OrchError, OutputError
from orchestrator.health.findings import FINDING_TAG, as_tags, findings_of, format_changed, written_down
from orchestrator.models.base import BaseModelRef
from orchestrator.plan.forecast import BASE_TAG, MACHINE_TAG, forecast, past_costs
from orchestrator.plan.plan import Plan, Stage
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.stored_task import overridden
from orchestrator.recipe.yaml_source import write_data
from orchestrator.results import Evaluation, ModelResult, RunResult
from orchestrator.runs.cost import COST_METRICS, Cost
from orchestrator.runs.notes import describe
from orchestrator.runs.showing import NOTE_TAG, show_models
from orchestrator.runs.state import StageState
from orchestrator.stages.context import Context, Output
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.mlflow import Store, key_tag, origin_tags
from orchestrator.store.names import (
    CHOSEN_TAG,
    JUDGED_BY_TAG,
    JUDGING_TAG,
    RECIPE_TAG,
    TASK_FILE,
    TASK_MODULES,
    TASK_TAG,
    evaluation_tag,
)
from orchestrator.store.pages import UNFOLDED
from orchestrator.store.provenance import git_commit, versions
from orchestrator.store.tables import read_stored
from orchestrator.tasks.judged_by import judged_by
from orchestrator.types import Finding

ERROR_FILE = "error.txt"
"""The artifact that has the trace of an error that nobody has foreseen."""
_DIED = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "ActorDiedError", "ActorUnavailableError")
"""What Ray raises where a worker was lost."""
_ANSWERED = ("example_id", "question", "gold", "status")
"""The columns of an evaluation without which it is compared with no other."""
_EVALUATED = re.compile(
    r"(?:([a-z][^/]*)/)?(?:accuracy|accuracy_low|accuracy_high|answer_rate|n|mean_score|tokens_per_completion|status/.+)"
    rf"|([a-z][^/]*)/(?:{'|'.join(COST_METRICS)})"
)
"""An evaluation's metrics in the run of its model, after the name of a further split; what it cost after `eval`."""


class Record:
    """Writes a run as it happens. `parent` is its id; `above` is the run that it is one seed of."""

    def __init__(self, store: Store, plan: Plan, above: str | None = None) -> None:
        self.store, self.plan = store, plan
        self.origins: dict[str, str] = {}
        """For each stage that is made: the run that holds its artifacts."""
        self._runs: dict[str, str] = {}
        """For each run name under the parent: its id."""
        self._stages = {stage.name for stage in plan.stages}
        self._unsettled = {stage.name for stage in plan.stages if stage.is_evaluation}
        """Evaluations that have not come to an end."""
        self._machine = kind_of_machine()
        self._forecasts = forecast(plan, past_costs(store, self._machine))
        self._experiment = store.experiment(plan.recipe.name)
        tags = {"orch.plan": plan.key, "orch.seed": str(plan.recipe.seed), "orch.verb": "run"}
        name = plan.recipe.name
        if above is not None:
            tags |= {"orch.verb": "seed", "mlflow.parentRunId": above}
            name = f"seed {plan.recipe.seed}"
        self.parent = start_run(store, plan.recipe, plan.base, name, tags)

    def started(self, state: StageState) -> None:
        """A stage begins to run."""
        state.run_id = self._run_of(state.stage, {})

    def reused(self, state: StageState, origin: str) -> None:
        """A stage was made before, by the run `origin`: its figures are shown again, its artifacts stay there."""
        stage = state.stage
        self.origins[stage.name] = origin
        metrics = self.store.metrics(origin)
        if stage.is_evaluation or stage.spec.makes_model:  # a model's run holds its evaluations' figures too
            wanted = (stage.also or "eval") if stage.is_evaluation else None
            metrics = {k: v for k, v in metrics.items() if _evaluation_of(k) == wanted}
        told = self.store.tags(origin)
        tags = {tag: text for tag, text in told.items() if tag == CHOSEN_TAG and stage.spec.makes_model}
        tags |= as_tags(f for f in findings_of(told) if f"stage {stage.name}: " in f.what)  # not of its evaluations
        tags |= origin_tags(stage, origin)
        state.run_id = self._run_of(stage, tags)
        self.store.log(state.run_id, metrics, _standing(stage) | {key_tag(stage): stage.key} | tags)
        self._close(stage, None)

    def finished(self, state: StageState, context: Context, output: Output, cost: Cost) -> None:
        """A stage is made: its artifacts first, then the key that says that they are there."""
        stage, run_id = state.stage, str(state.run_id)
        folder = "".join(stage.output.rpartition("/")[:2])
        if output.samples:
            self.store.log_samples(run_id, output.samples, f"{folder}samples.json")
        for used in output.data:
            self.store.log_data(run_id, used)
        self.store.log_folder(run_id, context.output)
        of = f"{stage.also or 'eval'}/" if stage.is_evaluation else ""
        costs = cost.metrics()
        if (expected := self._forecasts.get(stage.name)) is not None:
            costs |= expected.metrics()
        metrics = dict(output.metrics) | {f"{of}{name}": value for name, value in costs.items()}
        if stage.is_evaluation:
            assert stage.model is not None
            tags = {"orch.seed": str(self.plan.recipe.seed), "orch.run": self.parent}
            self.store.log_evaluation(run_id, stage.model, metrics, output.data[0], tags)
        else:
            self.store.log(run_id, metrics)
        told = dict(output.tags) | {MACHINE_TAG: self._machine, BASE_TAG: self.plan.base.name} | _standing(stage)
        told |= self.store.digests(run_id, context.output, stage.output)
        self.store.log(run_id, {}, told | {key_tag(stage): stage.key})
        self.origins[stage.name] = run_id
        self._close(stage, None)

    def noticed(self, state: StageState, finding: Finding) -> None:
        """A stage was found to go wrong: its run says so."""
        if state.run_id is not None:
            self.store.log(state.run_id, {}, {FINDING_TAG + finding.check: written_down(finding)})

    def failed(self, state: StageState, error: BaseException) -> str:
        """A stage has failed, also before it began: its run says why. What a user is told of it, in one line."""
        if state.run_id is None:
            state.run_id = self._run_of(state.stage, {})
        text = self._why(state.run_id, error)
        self._close(state.stage, text)
        return text

    def keep_made(self) -> None:
        """The run is given up: of several evaluations in one run, those that are made are kept."""
        for run_name, run_id in self._runs.items():
            made = [stage for stage in self._together(run_name) if stage.name in self.origins]
            if made and self._unsettled & {stage.name for stage in self._together(run_name)}:
                self.store.end(run_id, "FINISHED", "interrupted")

    def ended(self, states: list[StageState], noticed: tuple[Finding, ...] = ()) -> RunResult:
        """Close the parent with the comparison as its description."""
        self.store.log(self.parent, {}, as_tags([*_changed(self.plan), *noticed]))
        found = result(self.store, self.plan, self.parent, states, self.origins, noticed)
        self.store.log(self.parent, {}, {NOTE_TAG: describe(found, self._experiment)})
        show_models(self.store, self._experiment, [found])
        self.store.end(self.parent, "FAILED" if found.errors else "FINISHED", "\n".join(found.errors) or None)
        return found

    def broken(self, states: list[StageState], error: Exception, noticed: tuple[Finding, ...] = ()) -> RunResult:
        """Close the parent where its stages' figures could not be put together: what they made is kept."""
        text = f"the run's figures could not be put together: {self._why(self.parent, error)}"
        errors = (*(state.error for state in states if state.error), text)
        self.store.end(self.parent, "FAILED", "\n".join(errors))
        rows, experiment = tuple(state.row() for state in states), self.store.experiment_of(self.parent)
        return RunResult(self.parent, experiment, (), rows, errors=errors, findings=noticed, seed=self.plan.recipe.seed)

    def _why(self, run_id: str, error: BaseException) -> str:
        """One line on an error; where nobody has foreseen it, it names the artifact that has the whole trace."""
        text = one_line(error)
        if isinstance(getattr(error, "cause", None) or error, OrchError):
            return text
        self.store.log_text(run_id, "".join(traceback.format_exception(error)), ERROR_FILE)
        return f"{text} (traceback: {self.store.address(run_id, ERROR_FILE) or ERROR_FILE})"

    def _close(self, stage: Stage, error: str | None) -> None:
        """A stage has come to its end, and with it its run; one that holds several evaluations with the last of them.

        The run of a model that a stage has made is closed already, and stays FINISHED whatever its evaluation does.
        """
        self._unsettled.discard(stage.name)
        run_id = self._runs.get(stage.run_name)
        if run_id is None:
            return
        together = self._together(stage.run_name)
        if not stage.is_evaluation:
            self.store.end(run_id, "FAILED" if error else "FINISHED", error)
            return
        if error is not None:
            self.store.log(run_id, {}, {"orch.error": error})
        if together and not self._unsettled & {one.name for one in together}:
            made = any(one.name in self.origins for one in together)
            self.store.end(run_id, "FINISHED" if made else "FAILED")

    def _together(self, run_name: str) -> list[Stage]:
        """The evaluations that share a run which no other stage closes: those of the base model."""
        if run_name in self._stages:
            return []
        return [one for one in self.plan.stages if one.is_evaluation and one.run_name == run_name]

    def _run_of(self, stage: Stage, tags: dict[str, str]) -> str:
        """The stage's run under this parent, started if need be."""
        if stage.run_name not in self._runs:
            params = stage.spec.model_dump(
                mode="json", by_alias=True, exclude_none=True, exclude={"models", "resources"}
            )
            all_tags = {
                "mlflow.parentRunId": self.parent,
                "orch.stage": stage.run_name,
                "orch.verb": stage.verb,
                "orch.key": stage.key,
                "orch.seed": str(self.plan.recipe.seed),
            } | tags
            if stage.model is not None and (stage.spec.makes_model or stage.is_evaluation):
                all_tags |= {"orch.model": stage.model} | UNFOLDED
            self._runs[stage.run_name] = self.store.start(
                self._experiment, stage.run_name, all_tags, params | {"seed": self.plan.recipe.seed}
            )
        return self._runs[stage.run_name]


def start_run(store: Store, recipe: Recipe, base: BaseModelRef, name: str, tags: dict[str, str]) -> str:
    """Start the run above a recipe's stages, or above its seeds: its settings, its versions, the recipe itself.

    The recipe names the commit of a model on the Hub: whoever looks back finds the weights that were trained on. The
    file of a user's own task is kept beside it.
    """
    all_tags = tags | {"orch.recipe": recipe.source, JUDGED_BY_TAG: judged_by(recipe.task)}
    if recipe.task.CODE is not None:
        all_tags[TASK_TAG] = ",".join(overridden(type(recipe.task)))
    commit = git_commit()
    if commit is not None:
        all_tags["mlflow.source.git.commit"] = commit
    all_tags |= {f"version.{package}": number for package, number in versions().items()}
    resolved = recipe.resolved()
    if base.revision is not None and base.name == recipe.model.name:
        resolved["model"]["revision"] = base.revision
    shown = {k: v for k, v in resolved.items() if k not in ("stages", "evaluate")}
    run_id = store.start(store.experiment(recipe.name), name, all_tags, shown)
    store.log_text(run_id, write_data(resolved), "recipe.yaml")
    if recipe.task.CODE is not None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / TASK_FILE).write_bytes(recipe.task.CODE)
            for place, content in recipe.task.MODULES.items():
                module = Path(folder) / TASK_MODULES / place
                module.parent.mkdir(parents=True, exist_ok=True)
                module.write_bytes(content)
            store.log_folder(run_id, Path(folder))
    return run_id


def read_again(store: Store, plan: Plan, parent: str | None = None) -> RunResult | None:
    """What a finished run of this very plan came to, all of whose stages are made; None where there was none."""
    parent = parent or store.whole(plan.key)
    if parent is None:
        return None
    origins = {stage.name: str(stage.cached) for stage in plan.stages}
    states = [StageState(stage, "cached", run_id=stage.cached) for stage in plan.stages]
    return result(store, plan, parent, states, origins)


def result(
    store: Store,
    plan: Plan,
    parent: str,
    states: list[StageState],
    origins: dict[str, str],
    noticed: tuple[Finding, ...] = (),
) -> RunResult:
    """Read the models' figures back from the store: what is shown is what is kept."""
    findings = (*_changed(plan), *noticed, *(finding for state in states for finding in state.findings))
    known = [*findings, *findings_of(store.tags(parent))]  # also of the run that made what is only shown again
    lost: list[str] = []
    models, comparison = _side_by_side(store, plan, origins, None, known, lost)
    further = [(also, *_side_by_side(store, plan, origins, also, known, lost)) for also in plan.recipe.evaluate.also]
    return RunResult(
        parent,
        store.experiment_of(parent),
        models,
        tuple(state.row() for state in states),
        differences(comparison),
        (*(state.error for state in states if state.error), *lost),
        findings,
        tuple(Evaluation(also, m, differences(c), conclusions(c)) for also, m, c in further if m),
        plan.recipe.seed,
        conclusions=conclusions(comparison),
        judged_by=judged_by(plan.recipe.task),
    )


def _side_by_side(
    store: Store,
    plan: Plan,
    origins: dict[str, str],
    also: str | None,
    findings: Sequence[Finding],
    lost: list[str],
) -> tuple[tuple[ModelResult, ...], Comparison]:
    """The models that were asked the same split, each against the baseline; what cannot be read is put into `lost`."""
    models, results = [], {}
    for stage in plan.stages:
        if stage.is_evaluation and stage.also == also and stage.name in origins:
            assert stage.model is not None
            try:
                file = store.output(origins[stage.name], stage.output)
                read_stored(file, _ANSWERED)
                models.append(_figures(stage.model, store.metrics(origins[stage.name]), also))
            except (DataError, OutputError) as error:
                lost.append(f"stage {stage.name!r}: {error}")
            else:
                results[stage.model] = file
    on = also or plan.recipe.evaluate.on
    return tuple(models), compare_one_run(on, results, baseline(plan), plan.recipe.seed, findings)


def _figures(model: str, metrics: Mapping[str, float], also: str | None) -> ModelResult:
    name = "" if also is None else f"{also}/"
    return ModelResult(
        model=model,
        accuracy=metrics[f"{name}accuracy"],
        accuracy_low=metrics[f"{name}accuracy_low"],
        accuracy_high=metrics[f"{name}accuracy_high"],
        answer_rate=metrics[f"{name}answer_rate"],
        n=int(metrics[f"{name}n"]),
    )


def _standing(stage: Stage) -> dict[str, str]:
    """What other runs are compared by, of an evaluation."""
    if stage.judging_digest is None:
        return {}
    told = {RECIPE_TAG: stage.recipe_digest, JUDGING_TAG: stage.judging_digest, JUDGED_BY_TAG: stage.judged_by or ""}
    return {evaluation_tag(tag, stage.also): text for tag, text in told.items()}


def _changed(plan: Plan) -> tuple[Finding, ...]:
    return () if plan.format_change is None else (format_changed(plan.format_change),)


def one_line(error: BaseException) -> str:
    """What went wrong, for a person: the worker's own error, not Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    if type(cause).__name__ in _DIED:
        return "its worker process died: out of memory, or killed; lower batch_size, or give it more memory"
    if isinstance(cause, OrchError):
        return str(cause)
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:1000]


def _evaluation_of(metric: str) -> str | None:
    """The further split that a metric was measured on, `eval` for the one that models are compared on, else None."""
    found = _EVALUATED.fullmatch(metric)
    return None if found is None else found[1] or found[2] or "eval"
