"""Carry out a plan on Ray: what is made already is reused, what can run at once does, nothing finished is lost."""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml
from filelock import FileLock

from orchestrator.cluster import Cluster, carry, connect, disconnect
from orchestrator.comparison import baseline, differences
from orchestrator.errors import Interrupted, OrchError
from orchestrator.journal import NAME as JOURNAL
from orchestrator.journal import Tail
from orchestrator.plan import Plan, Stage, compile_plan
from orchestrator.provenance import git_commit, versions
from orchestrator.recipe import Recipe
from orchestrator.results import ModelResult, RunResult, StageState
from orchestrator.stages import STAGES
from orchestrator.stages.base import Context
from orchestrator.tasks import TASKS
from orchestrator.tracking import Store, key_tag, origin_tags, store_exists, store_folder
from orchestrator.work import WorkFolder

Listener = Callable[[list[StageState]], None]
_TICK = 0.25
"""Seconds between two looks at the workers."""
_RETRIES = 2
"""How often a job whose worker died is started again; it goes on from its own work folder."""
_PLAN = "plan-"
_EVALUATED = ("accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n", "tokens_per_completion")


def run(recipe: Recipe, listener: Listener = lambda states: None) -> RunResult:
    """Run a recipe and return its models side by side.

    Stages that fail are reported in the result's `errors`; what does not depend on them is finished first.

    Raises:
        InputError: something the recipe needs cannot be used; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; the workers are gone and the run is marked KILLED.
    """
    plan = compile_plan(recipe)
    if store_exists():
        store = Store()
        plan = plan.with_cached(store.finished(plan.stages))
        if all(stage.cached for stage in plan.stages):
            parent = store.whole(plan)
            if parent is not None:
                return _result(store, plan, parent, [_reused(stage) for stage in plan.stages])
            return _Execution(plan, store, _work(recipe), None, listener).go()
    work = _work(recipe)
    with _interruptible(), ThreadPoolExecutor(1) as beside:
        opening = beside.submit(Store)  # a new database takes as long as Ray: make them at the same time
        try:
            cluster = connect()
            if type(recipe.task) not in TASKS.values():
                carry(type(recipe.task))
            return _Execution(plan, opening.result(), work, cluster, listener).go()
        finally:
            disconnect()


def _work(recipe: Recipe) -> WorkFolder:
    return WorkFolder(recipe.storage or store_folder() / "work")


def _reused(stage: Stage) -> StageState:
    return StageState(stage, "cached", run_id=stage.cached)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does; either is told as one error."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main else None
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted before anything was started") from None
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


@dataclass
class _Running:
    """A stage at work."""

    state: StageState
    context: Context
    lock: FileLock
    pending: dict[Any, int]
    """Ray's reference of each job that is not done, and the job's place."""
    results: list[Any]
    tail: Tail
    points: list[dict[str, Any]] = field(default_factory=list)


class _Execution:
    """One walk over a plan."""

    def __init__(self, plan: Plan, store: Store, work: WorkFolder, cluster: Cluster | None, listener: Listener) -> None:
        self.plan, self.store, self.work, self.cluster, self.listener = plan, store, work, cluster, listener
        self.states = {stage.name: StageState(stage) for stage in plan.stages}
        self.running: dict[str, _Running] = {}
        self.origins: dict[str, str] = {}
        """For each stage that is done: the run that holds its artifacts."""
        self.runs: dict[str, str] = {}
        """For each run name under this parent: its id."""

    def go(self) -> RunResult:
        for key in self.work.abandoned(_PLAN):
            self.store.close_abandoned(key)
        lock = self.work.lock(_PLAN + self.plan.key)
        self.experiment = self.store.experiment(self.plan.recipe.name)
        self.parent = self._start_parent()
        try:
            self._walk()
        except (KeyboardInterrupt, SystemExit):
            self._stop()
            raise Interrupted(
                f"interrupted; what was finished is kept, the same command goes on from there (run {self.parent})"
            ) from None
        except BaseException as error:
            self.store.end(self.parent, "FAILED", _one_line(error))
            raise
        finally:
            if lock is not None:
                self.work.release(lock)
        errors = [s.error for s in self.states.values() if s.error]
        result = _result(self.store, self.plan, self.parent, list(self.states.values()), self.runs)
        self.store.log(self.parent, {}, {"mlflow.note.content": describe(result)})
        self.store.end(self.parent, "FAILED" if errors else "FINISHED", "\n".join(errors) or None)
        return result

    # -- the walk --------------------------------------------------------------------------------------------------

    def _walk(self) -> None:
        while any(s.state in ("waiting", "running") for s in self.states.values()):
            for state in self.states.values():
                if state.state == "waiting":
                    self._consider(state)
            self.listener(list(self.states.values()))
            if self.running:
                self._look()
            elif any(s.state == "waiting" for s in self.states.values()):
                time.sleep(_TICK)  # another process makes what the rest waits for
        self.listener(list(self.states.values()))

    def _consider(self, state: StageState) -> None:
        """Start a stage if it can be started now."""
        stage = state.stage
        needed = [self.states[name] for name in stage.inputs]
        if any(s.state in ("failed", "skipped") for s in needed):
            state.state = "skipped"
            state.figure = f"needs {next(s.stage.name for s in needed if s.state in ('failed', 'skipped'))}"
            return
        if any(s.state not in ("done", "cached") for s in needed):
            return
        if stage.cached is not None:
            self._reuse(state, stage.cached)
            return
        lock = self.work.lock(stage.key)
        if lock is None:
            state.figure = "another orch run is making this"
            return
        made = self.store.finished([stage]).get(stage.key)
        if made is not None:
            self.work.release(lock)
            self._reuse(state, made)
            return
        try:
            self._start(state, lock)
        except (OrchError, OSError) as error:
            self._fail(state, error)
            self.work.release(lock)

    def _reuse(self, state: StageState, origin: str) -> None:
        stage = state.stage
        self.origins[stage.name] = origin
        tags = {key_tag(stage.verb): stage.key} | origin_tags(stage, origin)
        metrics = self.store.metrics(origin)
        if stage.verb == "evaluate":
            metrics = {k: v for k, v in metrics.items() if _is_evaluation(k)}
        elif stage.spec.MAKES_MODEL:
            metrics = {k: v for k, v in metrics.items() if not _is_evaluation(k)}
        state.run_id = self._run_of(stage, origin_tags(stage, origin))
        self.store.log(state.run_id, metrics, tags)
        if self._closes_its_run(stage):
            self.store.end(state.run_id, "FINISHED")
        state.state, state.figure = "cached", "reused"

    def _start(self, state: StageState, lock: FileLock) -> None:
        assert self.cluster is not None
        stage, cluster = state.stage, self.cluster
        verb = STAGES[stage.verb]
        cpus, gpus = verb.resources(stage.spec.resources, cluster.cores, cluster.gpus)
        if cpus > cluster.cores or gpus > cluster.gpus:
            raise OrchError(
                f"stage {stage.name!r} asks for {cpus} CPUs and {gpus:g} GPUs, but no machine here has more than "
                f"{cluster.cores} CPUs and there are {cluster.gpus:g} GPUs; lower stages.{stage.name}.resources"
            )
        inputs = {name: self.store.artifacts(self.origins[name]) for name in stage.inputs}
        context = Context(stage, self.plan, self.work.folder(stage.key), inputs, cpus, gpus)
        state.run_id = self._run_of(stage, {})
        state.state, state.started, state.figure = "running", time.monotonic(), ""
        jobs = verb.jobs(context)
        pending = {
            cluster.remote(job.function, cpus, gpus, _RETRIES).remote(job.argument): place
            for place, job in enumerate(jobs)
        }
        state.total = len(jobs)
        self.running[stage.name] = _Running(
            state, context, lock, pending, [None] * len(jobs), Tail(context.work / JOURNAL)
        )

    def _look(self) -> None:
        """Take in what the workers have done since the last look."""
        import ray

        refs = {ref: name for name, r in self.running.items() for ref in r.pending}
        if refs:
            ready, _ = ray.wait(list(refs), num_returns=len(refs), timeout=_TICK)
            for ref in ready:
                running = self.running.get(refs[ref])
                if running is not None:
                    self._collect(running, ref)
        for running in list(self.running.values()):
            self._read_journal(running)
            if not running.pending:
                self._finish(running)

    def _collect(self, running: _Running, ref: Any) -> None:
        import ray

        try:
            running.results[running.pending.pop(ref)] = ray.get(ref)
            if len(running.results) > 1:
                running.state.done += 1
        except ray.exceptions.RayError as error:
            for other in running.pending:
                ray.cancel(other, force=True)
            self._fail(running.state, error)
            self._leave(running)

    def _read_journal(self, running: _Running) -> None:
        points = []
        for record in running.tail.new():
            if "total" in record:
                running.state.done, running.state.total = record["step"], record["total"]
            else:
                points.append(record)
                running.state.figure = _headline(record["metrics"]) or running.state.figure
        if points and running.state.run_id:
            self.store.log_points(running.state.run_id, points)

    def _finish(self, running: _Running) -> None:
        state, context = running.state, running.context
        stage, run_id = state.stage, state.run_id
        assert run_id is not None and state.started is not None
        if self.running.get(stage.name) is not running:
            return  # it failed while its results were read
        try:
            output = STAGES[stage.verb].finish(context, running.results)
            state.seconds = time.monotonic() - state.started
            name = "eval/samples.json" if stage.verb == "evaluate" else "samples.json"
            if output.samples:
                self.store.log_samples(run_id, output.samples, name)
            for used in output.data:
                self.store.log_data(run_id, used)
            self.store.log_folder(run_id, context.output)
            time_name = "eval/seconds" if stage.verb == "evaluate" else "seconds"
            self.store.log(run_id, dict(output.metrics) | {time_name: state.seconds})
            self.store.log(run_id, {}, {key_tag(stage.verb): stage.key})
            if self._closes_its_run(stage):
                self.store.end(run_id, "FINISHED")
        except (OrchError, OSError) as error:
            self._fail(state, error)
        else:
            self.origins[stage.name] = run_id
            state.state, state.figure = "done", output.figure
            self.work.remove(stage.key)
        self._leave(running)

    def _leave(self, running: _Running) -> None:
        self.running.pop(running.state.stage.name, None)
        self.work.release(running.lock)

    def _fail(self, state: StageState, error: BaseException) -> None:
        text = _one_line(error)
        state.state, state.error, state.figure = "failed", f"stage {state.stage.name!r} failed: {text}", text
        if state.started is not None:
            state.seconds = time.monotonic() - state.started
        if state.run_id is not None:
            self.store.log_text(state.run_id, "".join(traceback.format_exception(error)), "error.txt")
            if self._closes_its_run(state.stage):
                self.store.end(state.run_id, "FAILED", text)
            else:  # the model itself is made, and stays so
                self.store.log(state.run_id, {}, {"orch.error": text})

    def _stop(self) -> None:
        """After Ctrl-C: nothing may interrupt the marking of what was interrupted."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            disconnect()
            for running in self.running.values():
                running.state.state = "stopped"
                if running.state.run_id is not None and self._closes_its_run(running.state.stage):
                    self.store.end(running.state.run_id, "KILLED", "interrupted")
                self.work.release(running.lock)
            self.store.end(self.parent, "KILLED", "interrupted")
        finally:
            signal.signal(signal.SIGINT, before)

    # -- MLflow runs -----------------------------------------------------------------------------------------------

    def _start_parent(self) -> str:
        recipe = self.plan.recipe
        tags = {"orch.plan": self.plan.key, "orch.verb": "run", "orch.recipe": recipe.source}
        commit = git_commit()
        if commit is not None:
            tags["mlflow.source.git.commit"] = commit
        found = versions()
        tags |= {f"version.{name}": number for name, number in found.items()}
        resolved = recipe.resolved()
        shown = {k: v for k, v in resolved.items() if k not in ("stages", "evaluate")}
        run_id = self.store.start(self.experiment, recipe.name, tags, shown)
        self.store.log_text(run_id, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), "recipe.yaml")
        return run_id

    def _closes_its_run(self, stage: Stage) -> bool:
        """False for the evaluation of a model that a stage of this plan makes: that stage has closed the run."""
        return stage.verb != "evaluate" or stage.run_name not in self.states

    def _run_of(self, stage: Stage, tags: dict[str, str]) -> str:
        """The stage's run under this parent, started if need be."""
        if stage.run_name not in self.runs:
            spec = stage.spec
            params = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"models", "resources"})
            all_tags = {
                "mlflow.parentRunId": self.parent,
                "orch.stage": stage.run_name,
                "orch.verb": stage.verb,
                "orch.key": stage.key,
            } | tags
            if stage.model is not None and (stage.spec.MAKES_MODEL or stage.verb == "evaluate"):
                all_tags["orch.model"] = stage.model
            self.runs[stage.run_name] = self.store.start(
                self.experiment, stage.run_name, all_tags, params | {"seed": self.plan.recipe.seed}
            )
        return self.runs[stage.run_name]


def _is_evaluation(metric: str) -> bool:
    return metric in _EVALUATED or metric.startswith(("status/", "eval/"))


def _headline(metrics: dict[str, float]) -> str:
    for name in ("reward", "loss"):
        if name in metrics:
            return f"{name} {metrics[name]:.3f}"
    return ""


def _one_line(error: BaseException) -> str:
    """What went wrong, for a person: the worker's own error, not Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    if type(cause).__name__ in ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"):
        return "its worker process died: out of memory, or killed; lower batch_size, or give it more memory"
    if isinstance(cause, OrchError):
        return str(cause)
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:1000]


def _result(
    store: Store, plan: Plan, parent: str, states: list[StageState], runs: dict[str, str] | None = None
) -> RunResult:
    """Read the models' figures back from the store: what is shown is what is kept."""
    if runs is None:
        runs = {name: run.info.run_id for name, run in store.children(parent).items()}
    models, folders = [], {}
    for state in states:
        stage = state.stage
        if stage.verb == "evaluate" and state.state in ("done", "cached"):
            assert stage.model is not None
            metrics = store.metrics(runs[stage.run_name])
            models.append(
                ModelResult(
                    model=stage.model,
                    accuracy=metrics["accuracy"],
                    accuracy_low=metrics["accuracy_low"],
                    accuracy_high=metrics["accuracy_high"],
                    answer_rate=metrics["answer_rate"],
                    n=int(metrics["n"]),
                )
            )
            folders[stage.model] = store.artifacts(stage.cached or runs[stage.run_name])
    return RunResult(
        parent,
        store.experiment_of(parent),
        tuple(models),
        tuple(state.row() for state in states),
        differences(folders, baseline(plan)),
        tuple(state.error for state in states if state.error),
    )


def describe(result: RunResult) -> str:
    """The comparison as Markdown, for the parent run's description."""
    against = {d.model: d for d in result.differences}
    lines = ["| model | accuracy | 95% interval | answer rate | difference | n |", "|---|---|---|---|---|---|"]
    for m in result.models:
        d = against.get(m.model)
        gap = f"{d.difference:+.3f} to {d.baseline} (p = {d.p:.2g})" if d else ""
        lines.append(
            f"| {m.model} | {m.accuracy:.3f} | {m.accuracy_low:.3f} to {m.accuracy_high:.3f} | {m.answer_rate:.3f} "
            f"| {gap} | {m.n} |"
        )
    return "\n".join([*lines, "", *result.errors])
