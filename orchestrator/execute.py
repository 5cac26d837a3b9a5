"""Carry out a plan on Ray: what is made already is reused, what can run at once does, nothing finished is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from orchestrator.cluster import Cluster, Crew, Done, carry, connect, disconnect
from orchestrator.errors import Interrupted, OrchError, StageError
from orchestrator.health.report import told_only
from orchestrator.health.watch import stops
from orchestrator.journal import NAME as JOURNAL
from orchestrator.journal import Tail
from orchestrator.outputs import output_of
from orchestrator.plan import Plan, compile_plan
from orchestrator.recipe import Recipe
from orchestrator.record import Record, one_line, result
from orchestrator.remote_check import checked
from orchestrator.results import RunResult, StageState
from orchestrator.stages import STAGES
from orchestrator.stages.base import Context
from orchestrator.tasks import TASKS
from orchestrator.tracking import Store, store_exists, store_folder
from orchestrator.types import Finding
from orchestrator.work import WorkFolder

Listener = Callable[[list[StageState]], None]
_TICK = 0.25
"""Seconds between two looks at the workers."""
_RETRIES = 2
"""How often a job whose worker died is started again; it goes on from its own work folder."""
_PLAN = "plan-"


def run(recipe: Recipe, listener: Listener = lambda states: None) -> RunResult:
    """Run a recipe and return its models side by side.

    Stages that fail are reported in the result's `errors`; what does not depend on them is finished first.

    Raises:
        InputError: something the recipe needs cannot be used; nothing was started.
        CheckError: the set-up would make the numbers wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; the workers are gone and the run is marked KILLED.
    """
    plan = compile_plan(recipe)
    store = Store() if store_exists() else None
    if store is not None:
        plan = plan.with_cached(store.finished(plan.stages))
        if all(stage.cached for stage in plan.stages):
            parent = store.whole(plan)
            if parent is None:
                return _Walk(plan, store, _work(recipe), None, listener).go()
            origins = {stage.name: str(stage.cached) for stage in plan.stages}
            states = [StageState(stage, "cached", run_id=stage.cached) for stage in plan.stages]
            return result(store, plan, parent, states, origins)
    work = _work(recipe)
    with _interruptible(), ThreadPoolExecutor(1) as beside:
        opening = beside.submit(Store) if store is None else None  # making a database takes as long as starting Ray
        try:
            listener([StageState(s, figure="" if i else "checking the set-up") for i, s in enumerate(plan.stages)])
            cluster = connect()
            if type(recipe.task) not in TASKS.values():
                carry(type(recipe.task))
            noticed = checked(plan, work.root, cluster)
            return _Walk(plan, store or opening.result(), work, cluster, listener, noticed).go()  # type: ignore[union-attr]
        finally:
            disconnect()


def _work(recipe: Recipe) -> WorkFolder:
    return WorkFolder(recipe.storage or store_folder() / "work")


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
    crew: Crew
    done: list[Done | None]
    """What came of each job, in the jobs' order."""
    tail: Tail


class _Walk:
    """One walk over a plan."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        work: WorkFolder,
        cluster: Cluster | None,
        listener: Listener,
        noticed: tuple[Finding, ...] = (),
    ) -> None:
        self.plan, self.store, self.work, self.cluster, self.listener = plan, store, work, cluster, listener
        self.noticed = noticed
        self.states = {stage.name: StageState(stage) for stage in plan.stages}
        self.running: dict[str, _Running] = {}

    def go(self) -> RunResult:
        for key in self.work.abandoned(_PLAN):
            self.store.close_abandoned(key)
        lock = self.work.lock(_PLAN + self.plan.key)
        self.record = Record(self.store, self.plan)
        try:
            self._walk()
            return self.record.ended(list(self.states.values()), self.noticed)
        except (KeyboardInterrupt, SystemExit):
            self._stop()
            raise Interrupted(
                "interrupted; what was finished is kept, the same command goes on from there "
                f"(run {self.record.parent})"
            ) from None
        except BaseException as error:
            self.record.broke([running.state for running in self.running.values()], error)
            raise
        finally:
            if lock is not None:
                self.work.release(lock)
                self.work.forget_inputs(_PLAN)

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
        self.record.reused(state, origin)
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
        inputs = {name: self._input(name) for name in stage.inputs}
        context = Context(stage, self.plan, self.work.folder(stage.key), inputs, cpus, gpus)
        self.record.started(state)
        state.state, state.started, state.figure = "running", time.monotonic(), ""
        jobs = verb.jobs(context)
        crew = cluster.submit([(job.function, job.argument) for job in jobs], cpus, gpus, _RETRIES)
        state.total = len(jobs)
        self.running[stage.name] = _Running(
            state, context, lock, crew, [None] * len(jobs), Tail(context.work / JOURNAL)
        )

    def _input(self, name: str) -> Path:
        """What a finished stage has made, where those can read it who will."""
        stage, origin = self.plan.stage(name), self.record.origins[name]
        made = self.store.artifact(origin, output_of(stage.verb, stage.also))
        # the driver reads tables itself; models are loaded by workers, on whatever machine they are
        shared = self.plan.recipe.storage is not None and stage.spec.MAKES_MODEL
        return self.work.share(made, origin) if shared and self.cluster is not None and self.cluster.joined else made

    def _look(self) -> None:
        """Take in what the workers have done since the last look."""
        import ray

        refs = {ref: name for name, r in self.running.items() for ref in r.crew.pending}
        if refs:
            ready, _ = ray.wait(list(refs), num_returns=len(refs), timeout=_TICK)
            for ref in ready:
                running = self.running.get(refs[ref])
                if running is not None:
                    self._collect(running, ref)
        for running in list(self.running.values()):
            self._read_journal(running)
            if not running.crew.pending:
                self._finish(running)

    def _collect(self, running: _Running, ref: Any) -> None:
        import ray

        try:
            place, running.done[place] = running.crew.take(ref)
            if len(running.done) > 1:
                running.state.done += 1
        except ray.exceptions.RayError as error:
            running.crew.stop()
            self._fail(running.state, error)
            self._leave(running)

    def _read_journal(self, running: _Running) -> None:
        points = []
        for record in running.tail.new():
            if "finding" in record:
                self._notice(running.state, Finding(**record["finding"]))
            elif "total" in record:
                running.state.done, running.state.total = record["step"], record["total"]
            else:
                points.append(record)
                running.state.figure = _headline(record["metrics"]) or running.state.figure
        if points and running.state.run_id:
            self.store.log_points(running.state.run_id, points)

    def _notice(self, state: StageState, finding: Finding) -> None:
        """Tell of a finding at once, and keep it with the stage's run; once, also where a journal is read again."""
        if all(known.check != finding.check for known in state.findings):
            [told] = told_only([finding], self.plan.recipe.limits.ignore)
            named = replace(told, what=f"stage {state.stage.name}: {told.what}")
            state.findings.append(named)
            self.record.noticed(state, named)

    def _finish(self, running: _Running) -> None:
        state, stage = running.state, running.state.stage
        if self.running.get(stage.name) is not running:
            return  # it failed while its results were read
        made = [done for done in running.done if done is not None]
        try:
            collected = time.monotonic()
            output = STAGES[stage.verb].finish(running.context)
            worked = max(d.ended for d in made) - min(d.began for d in made) if made else 0.0
            state.seconds = worked + time.monotonic() - collected
            for finding in output.findings:
                self._notice(state, finding)
            if (stop := stops(list(output.findings), self.plan.recipe.limits.ends_on)) is not None:
                raise StageError(f"stopped by limits.stop_on: {stop.check}: {stop.what}; {stop.remedy}")
            self.record.finished(state, running.context, output)
        except (OrchError, OSError) as error:
            self._fail(state, error)
        else:
            state.state, state.figure = "done", output.figure
            self.work.remove(stage.key)
        self._leave(running)

    def _leave(self, running: _Running) -> None:
        self.running.pop(running.state.stage.name, None)
        self.work.release(running.lock)

    def _fail(self, state: StageState, error: BaseException) -> None:
        text = one_line(error)
        state.state, state.error, state.figure = "failed", f"stage {state.stage.name!r} failed: {text}", text
        if state.started is not None:
            state.seconds = time.monotonic() - state.started
        self.record.failed(state, error)

    def _stop(self) -> None:
        """After Ctrl-C: nothing may interrupt the marking of what was interrupted."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            disconnect()
            for running in self.running.values():
                running.state.state = "stopped"
                self.work.release(running.lock)
            self.record.stopped([running.state for running in self.running.values()])
        finally:
            signal.signal(signal.SIGINT, before)


def _headline(metrics: dict[str, float]) -> str:
    for name in ("reward", "loss"):
        if name in metrics:
            return f"{name} {metrics[name]:.3f}"
    return ""
