"""Writes one `orch run` to the store: the parent run, and a run per stage.

An evaluation is written to the run of the model it judges. That run is closed by the stage that produced the model; the
evaluation of a model that no stage of the recipe produces (the base) has its own run.
"""

import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import RLock
from typing import Any

from orchestrator.errors import OrchError
from orchestrator.health.findings import as_tags, findings_of, written_down
from orchestrator.plan.forecast import PastCost, forecast
from orchestrator.plan.plan import Plan, Stage, Trial
from orchestrator.results import RunResult
from orchestrator.runs.above import Shown, describe_run, start_run
from orchestrator.runs.cost import COST_METRICS, Cost
from orchestrator.runs.failure import one_line
from orchestrator.runs.headline import headline
from orchestrator.runs.notes import describe
from orchestrator.runs.result import changed_format, result
from orchestrator.runs.showing import show_models
from orchestrator.runs.state import StageState
from orchestrator.runs.worker_log import read_log
from orchestrator.stages.context import Context, Output
from orchestrator.store.base import Store
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.names import (
    BASE_TAG,
    CHOSEN_TAG,
    ERROR_FILE,
    ERROR_TAG,
    FINDING_TAG,
    JUDGED_BY_TAG,
    JUDGING_TAG,
    KEY_TAG,
    MACHINE_TAG,
    MEASURED,
    MODEL_TAG,
    NOTE_TAG,
    PARENT_TAG,
    PLAN_TAG,
    POOL_TAG,
    RECIPE_TAG,
    RUN_TAG,
    SEED_TAG,
    SHARED_TAG,
    STAGE_TAG,
    SWEPT,
    TRIAL,
    TRIAL_TAG,
    VERB_TAG,
    WHOLE_RUN,
    draws_tag,
    evaluation_tag,
    key_tag,
    log_of,
    origin_tag,
)
from orchestrator.store.pages import UNFOLDED
from orchestrator.types import Finding

_EVALUATED = re.compile(
    r"(?:([a-z][^/]*)/)?(?:accuracy|accuracy_low|accuracy_high|answer_rate|n|mean_score|tokens_per_completion|status/.+"
    r"|answers_per_question|coverage|(?:pass|maj)_at_\d+)"
    rf"|([a-z][^/]*)/(?:{'|'.join(COST_METRICS)})"
)
"""An evaluation's metrics in its model's run, prefixed with the further split, if any; costs with that or `eval`."""


Later = Callable[[str, str, Callable[[], object]], None]


def _at_once(_: str, __: str, job: Callable[[], object]) -> None:
    job()


class Record:
    """Writes a run as it happens. `parent` is its id; `above` is the run that it is a trial of, if any.

    Concurrent requests from the scheduler and its writer are serialized.

    `past`: the costs of stages in past runs on this kind of machine. `later`: queues writes that can wait, given the
    name of the run and an owner: the key of a stage, or the name again. `shown`: the stages that all trials of a run
    have in common. `swept`: the settings that distinguish a sweep's trial from the others; its run has only these as
    params.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        past: Sequence[PastCost] = (),
        later: Later | None = None,
        above: str | None = None,
        trial: Trial | None = None,
        shown: Shown | None = None,
        swept: Mapping[str, Any] | None = None,
    ) -> None:
        self.store, self.plan = store, plan
        self._swept = swept
        self._above, self._trial = above, trial
        self._name = plan.recipe.name if trial is None else trial.title
        self._shown = Shown() if shown is None else shown
        self._later = later or _at_once
        self.origins: dict[str, str] = {}
        """For each stage whose output exists: the run that holds it."""
        self._runs: dict[str, str] = {}
        """For each run name under the parent: its id."""
        self._shared: dict[str, list[tuple[StageState, str]]] = {}
        """For each run name that the parent refers to: the stages, and the runs whose output they reuse."""
        self._references: dict[str, str] = {}
        """The tags for these references that are not written yet."""
        self._stages = {stage.name for stage in plan.stages}
        self._unsettled = {stage.name for stage in plan.stages if stage.is_evaluation}
        """Evaluations that have not ended."""
        self._machine = kind_of_machine()
        self.forecasts = forecast(plan, past)
        """Forecasts from past runs for the stages to run, by name."""
        self._experiment = store.experiment(plan.recipe.name)
        self._parent: str | None = None
        self._is_described = False
        self._lock = RLock()

    @property
    def parent(self) -> str:
        """The id of the parent run, which is started on first use."""
        with self._lock:
            if self._parent is None:
                self._parent = self._start()
            return self._parent

    def _start(self) -> str:
        recipe = self.plan.recipe
        tags = {PLAN_TAG: self.plan.key, SEED_TAG: str(recipe.seed), VERB_TAG: WHOLE_RUN}
        if self._above is not None and self._trial is not None:
            verb = TRIAL if self._swept is None else SWEPT
            tags |= {VERB_TAG: verb, PARENT_TAG: self._above, TRIAL_TAG: json.dumps(dict(self._trial.label))}
        return start_run(self.store, self._experiment, recipe, self._name, tags)

    def describe(self) -> None:
        """Start the parent run if needed, and record its recipe, once."""
        with self._lock:
            if not self._is_described:
                describe_run(self.store, self.parent, self.plan.recipe, self.plan.base, self._swept)
                self._is_described = True

    def started(self, state: StageState) -> None:
        """Record that a stage has started."""
        self.describe()
        state.run_id = self._run_of(state.stage, {})
        self._refer()

    def reused(self, state: StageState, origin: str) -> None:
        """Reuse a stage of the run `origin`: its figures are shown again, its artifacts stay there.

        This keeps the comparison in MLflow complete. Of several trials, the first one shows the figures, and the others
        refer to its run, unless that run holds only part of what they have under that name.
        """
        self.origins[state.stage.name] = origin
        self._later(self._name, self._name, lambda: self._show(state, origin))

    def _show(self, state: StageState, origin: str) -> None:
        stage, name = state.stage, state.stage.run_name
        with self._lock, self._shown.lock:  # two trials may get here at the same time
            there = None if self._above is None or name in self._runs else self._shown.get(stage.key)
            known = self._shared.get(name, [])
            if there is None or any(other.stage.is_evaluation and other.run_id != there for other, _ in known):
                self._show_again(state, origin)
            else:
                self._shared[name] = [*known, (state, origin)]
                self._references[SHARED_TAG + name] = state.run_id = there

    def _refer(self) -> None:
        """Write the references to shared stages."""
        with self._lock:
            tags, self._references = self._references, {}
        if tags:
            self.store.log(self.parent, {}, tags)

    def _show_again(self, state: StageState, origin: str) -> None:
        """Start a run for a reused stage, with the figures of the run that produced it."""
        stage = state.stage
        maker = self.store.find(origin)
        metrics = maker.metrics
        if stage.is_evaluation or stage.spec.makes_model:  # a model's run holds its evaluations' figures too
            wanted = (stage.also or "eval") if stage.is_evaluation else None
            metrics = {k: v for k, v in metrics.items() if _evaluation_of(k) == wanted}
        tags = {CHOSEN_TAG: maker.chosen} if maker.chosen and stage.spec.makes_model else {}
        own = (f for f in findings_of(maker.tags) if f"stage {stage.name}: " in f.what)  # not those of its evaluations
        tags |= as_tags(own)
        tags[origin_tag(stage)] = origin
        state.run_id = self._run_of(stage, tags)
        self.store.log(state.run_id, metrics, _standing(stage) | {key_tag(stage): stage.key} | tags)
        self._shown[stage.key] = state.run_id
        self._close(stage, None)

    def finished(self, state: StageState, context: Context, output: Output, cost: Cost) -> None:
        """Record a finished stage: first its artifacts, then the key that marks them as complete.

        Blocks for as long as the store needs; `failed` undoes it.
        """
        stage, run_id = state.stage, str(state.run_id)
        folder = "".join(stage.output.rpartition("/")[:2])
        log = context.output / log_of(stage.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(read_log(context.work), encoding="utf-8")
        if output.samples:
            self.store.log_table(run_id, output.samples, f"{folder}samples.json")
        if state.measured:
            self.store.log_file(run_id, json.dumps(state.measured), MEASURED)
        for used in output.data:
            self.store.log_data(run_id, used)
        digests = self.store.log_folder(run_id, context.output, stage.output)
        of = f"{stage.also or 'eval'}/" if stage.is_evaluation else ""
        costs = cost.metrics()
        if (expected := self.forecasts.get(stage.name)) is not None:
            costs |= expected.metrics()
        metrics = dict(output.metrics) | {f"{of}{name}": value for name, value in costs.items()}
        if stage.is_evaluation:
            assert stage.model is not None
            about = {SEED_TAG: str(self.plan.recipe.seed), RUN_TAG: self.parent}
            self.store.log_evaluation(run_id, stage.model, metrics, output.data[0], about)
            metrics = {}
        tags = dict(output.tags) | {MACHINE_TAG: self._machine, BASE_TAG: self.plan.base.name} | digests
        tags |= _standing(stage)
        if stage.draws_digest is not None:
            tags[draws_tag(stage)] = stage.draws_digest
        if stage.pool is not None:
            tags[POOL_TAG] = stage.pool
        self.store.log(run_id, metrics, tags | {key_tag(stage): stage.key})
        self.origins[stage.name] = self._shown[stage.key] = run_id
        self._close(stage, None)

    def noticed(self, state: StageState, finding: Finding) -> None:
        """Record a finding in the stage's run."""
        tags = {FINDING_TAG + finding.check: written_down(finding)}
        self._later(self._name, state.stage.key, lambda: self.store.log(str(state.run_id), {}, tags))

    def failed(self, state: StageState, error: BaseException, log: str = "") -> str:
        """Record why a stage failed, even if it never began. Returns the reason for the user, in one line.

        `log` is its workers' output; the stored log ends with the error, and with its traceback if it is unexpected.
        """
        if state.run_id is None:
            state.run_id = self._run_of(state.stage, {})
        text = one_line(error)
        with suppress(Exception):  # a log documents the failure and must not mask it
            self.store.log_file(state.run_id, log + _last_lines(state.stage.name, error, log), log_of(state.stage.name))
        self.origins.pop(state.stage.name, None)
        self._close(state.stage, text)
        return text

    def keep_made(self) -> None:
        """The run is given up: if several evaluations share a run, keep the finished ones."""
        if self._parent is not None:
            self._refer()
        for run_name, run_id in self._runs.items():
            made = [stage for stage in self._together(run_name) if stage.name in self.origins]
            if made and self._unsettled & {stage.name for stage in self._together(run_name)}:
                self.store.end(run_id, "FINISHED", "interrupted")

    def stopped(self, state: StageState, why: str) -> None:
        """Record that a running stage was stopped, though nothing went wrong with it."""

        def end() -> None:
            if state.run_id is not None:
                self.store.end(state.run_id, "KILLED", why)

        self._later(self._name, self._name, end)

    def ended(
        self, states: list[StageState], noticed: tuple[Finding, ...] = (), given_up: str | None = None
    ) -> RunResult:
        """Close the parent with the comparison as its description; as KILLED, with the reason, if it was given up."""
        self.describe()
        self.store.log(self.parent, {}, as_tags([*changed_format(self.plan), *noticed]) | self._references)
        found = result(self.store, self.plan, self.parent, states, self.origins, noticed)
        self.store.log(self.parent, {}, {NOTE_TAG: describe(found, self._experiment)} | headline(found.models))
        if self._above is None:
            show_models(self.store, self._experiment, [found])
        status = "FAILED" if found.errors else "FINISHED" if given_up is None else "KILLED"
        self.store.end(self.parent, status, "\n".join(found.errors) or given_up)
        return found

    def broken(self, states: list[StageState], error: Exception, noticed: tuple[Finding, ...] = ()) -> RunResult:
        """Close the parent if its stages' figures could not be put together; their outputs are kept."""
        text = f"the run's figures could not be put together: {one_line(error)}"
        if not _is_foreseen(error):
            self.store.log_file(self.parent, "".join(traceback.format_exception(error)), ERROR_FILE)
        errors = (*(state.error for state in states if state.error), text)
        self.store.end(self.parent, "FAILED", "\n".join(errors))
        rows, experiment = tuple(state.row() for state in states), self.store.find(self.parent).experiment
        return RunResult(self.parent, experiment, (), rows, errors=errors, findings=noticed, seed=self.plan.recipe.seed)

    def _close(self, stage: Stage, error: str | None) -> None:
        """A stage has ended: close its run; a run that holds several evaluations is closed after the last of them.

        The run of a model that a stage has produced is closed already, and stays FINISHED whatever happens to its
        evaluation.
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
            self.store.log(run_id, {}, {ERROR_TAG: error})
        if together and not self._unsettled & {one.name for one in together}:
            made = any(one.name in self.origins for one in together)
            self.store.end(run_id, "FINISHED" if made else "FAILED")

    def _together(self, run_name: str) -> list[Stage]:
        """The evaluations that share a run which no other stage closes: those of the base model."""
        if run_name in self._stages:
            return []
        return [one for one in self.plan.stages if one.is_evaluation and one.run_name == run_name]

    def _run_of(self, stage: Stage, tags: dict[str, str]) -> str:
        """The stage's run under this parent, started if needed."""
        with self._lock:
            return self._started_run(stage, tags)

    def _started_run(self, stage: Stage, tags: dict[str, str]) -> str:
        for state, origin in self._shared.pop(stage.run_name, []):
            self._show_again(state, origin)  # a further stage in this run makes it this trial's own
        if stage.run_name not in self._runs:
            params = stage.spec.model_dump(
                mode="json", by_alias=True, exclude_none=True, exclude={"models", "resources"}
            )
            all_tags = {
                PARENT_TAG: self.parent,
                STAGE_TAG: stage.run_name,
                VERB_TAG: stage.verb,
                KEY_TAG: stage.key,
                SEED_TAG: str(self.plan.recipe.seed),
            } | tags
            if stage.model is not None and (stage.spec.makes_model or stage.is_evaluation):
                all_tags |= {MODEL_TAG: stage.model} | UNFOLDED
            settings = params | {"seed": self.plan.recipe.seed}
            self._runs[stage.run_name] = self.store.start(self._experiment, stage.run_name, all_tags, settings)
        return self._runs[stage.run_name]


def _standing(stage: Stage) -> dict[str, str]:
    """The tags by which an evaluation is compared with other runs."""
    if stage.judging_digest is None:
        return {}
    told = {RECIPE_TAG: stage.recipe_digest, JUDGING_TAG: stage.judging_digest, JUDGED_BY_TAG: stage.judged_by or ""}
    return {evaluation_tag(tag, stage.also): text for tag, text in told.items()}


def _last_lines(stage: str, error: BaseException, log: str) -> str:
    """The end of a failed stage's log: the traceback, unless the worker has written it, and the error in one line."""
    written = getattr(error, "cause", None) is not None and "Traceback (most recent call last)" in log
    trace = "" if _is_foreseen(error) or written else "".join(traceback.format_exception(error))
    return f"{trace}stage {stage!r} failed: {one_line(error)}\n"


def _is_foreseen(error: BaseException) -> bool:
    return isinstance(getattr(error, "cause", None) or error, OrchError)


def _evaluation_of(metric: str) -> str | None:
    """The further split of an evaluation's metric, or `eval` for the main one; None if it is not such a metric."""
    found = _EVALUATED.fullmatch(metric)
    return None if found is None else found[1] or found[2] or "eval"
