"""`run` as a function: a recipe is carried out, or found to be made already, and its models come back side by side."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from orchestrator.errors import Interrupted, OrchError, TrackingError
from orchestrator.plan.forecast import past_costs
from orchestrator.plan.plan import Plan, TrialsPlan, compile_recipe, plans_of
from orchestrator.recipe.recipe import Recipe
from orchestrator.report.make import report_of, with_report
from orchestrator.results import RunResult, SeedsResult
from orchestrator.runs.cluster import Cluster, carry, connect, disconnect
from orchestrator.runs.failure import one_line
from orchestrator.runs.preflight import checked
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.result import read_again
from orchestrator.runs.scheduler import Listener, Walk
from orchestrator.runs.state import StageState
from orchestrator.runs.trials import TrialsRecord, read_trials_again
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.opening import existing_store, open_store
from orchestrator.store.place import store_folder
from orchestrator.tasks import TASKS
from orchestrator.types import Finding

_PROCESS = "run-"


def run(recipe: Recipe, listener: Listener = lambda states: None) -> RunResult | SeedsResult:
    """Run a recipe and return its models side by side; with `seeds`, the aggregate over them.

    Stages that fail are reported in the result's `errors`; what does not depend on them is finished first.

    Raises:
        InputError: something the recipe needs cannot be used; nothing was started.
        CheckError: the set-up would make the numbers wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; the workers are gone and the run is marked KILLED.
    """
    with _interruptible():
        return _run(recipe, listener)


def _run(recipe: Recipe, listener: Listener) -> RunResult | SeedsResult:
    plan = compile_recipe(recipe)
    store = existing_store()
    if store is not None:
        plan = plan.with_cached(store.finished(plan.stages))
        if all(stage.cached for stage in plan.stages):
            found = read_trials_again(store, plan) if isinstance(plan, TrialsPlan) else read_again(store, plan)
            if found is None:
                found = _carry_out(plan, store, _work(recipe), None, listener)
            with suppress(TrackingError):  # of a store that may only be read, `last` is the newest run
                store.asked_again(store.find(found.run_id))
            made = report_of(store, found.run_id)
            return with_report(found, recipe.task) if made is None else replace(found, report=made)
    work = _work(recipe)
    try:
        states = _not_begun(plan)
        listener(states)

        def notice(line: str) -> None:
            states[0].figure = line
            listener(states)

        try:
            cluster = connect(notice)
            _heed_sigterm()  # Ray has put a handler of its own there, which ends the process on the spot
            if type(recipe.task) not in TASKS.values():
                carry(type(recipe.task))
            noticed = checked(plans_of(plan)[0], work, cluster)  # the checks do not depend on the seed
            store = store or open_store(create=True)
        except OrchError:
            work.withdraw()
            raise
        done = _carry_out(plan, store, work, cluster, listener, noticed)
    finally:
        disconnect()
    return with_report(done, recipe.task)


def _not_begun(plan: Plan | TrialsPlan) -> list[StageState]:
    titled = [(t.title, t.plan) for t in plan.trials] if isinstance(plan, TrialsPlan) else [("", plan)]
    states = [StageState(stage, trial=title) for title, each in titled for stage in each.stages]
    states[0].figure = "checking the set-up"
    return states


def _work(recipe: Recipe) -> WorkFolder:
    return WorkFolder(recipe.storage or store_folder() / "work")


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does; either is reported as one error."""
    before = signal.getsignal(signal.SIGTERM)
    _heed_sigterm()
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted: finished stages are kept; run the same command to resume") from None
    finally:
        if _in_main():
            signal.signal(signal.SIGTERM, before)


def _heed_sigterm() -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if _in_main():  # elsewhere no handler can be set, and none is called
        signal.signal(signal.SIGTERM, stop)


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _carry_out(
    plan: Plan | TrialsPlan,
    store: Store,
    work: WorkFolder,
    cluster: Cluster | None,
    listener: Listener,
    noticed: tuple[Finding, ...] = (),
) -> RunResult | SeedsResult:
    """Walk over the plan, or over the plans of all seeds at once, and keep what comes of it."""
    for process in work.abandoned(_PROCESS):
        store.close_runs(process, "KILLED", "the process was killed")
    store.process = uuid4().hex
    lock = work.lock(_PROCESS + store.process)
    walk = Walk([], store, work, cluster, listener)
    above = None
    try:
        above = TrialsRecord(store, plan) if isinstance(plan, TrialsPlan) else None
        past, later = past_costs(store, kind_of_machine()), walk.writer.submit
        if above is None or not isinstance(plan, TrialsPlan):
            assert isinstance(plan, Plan)
            record = Record(store, plan, past, later)
            record.describe()
            walk.branches.append(Branch(plan, record, noticed))
        else:
            for trial in plan.trials:
                record = Record(store, trial.plan, past, later, above.parent, trial, above.shown)
                walk.branches.append(Branch(trial.plan, record, noticed, trial.title))
        walk.go()
        results = [branch.result for branch in walk.branches if branch.result is not None]
        return results[0] if above is None else above.ended(results)
    except (KeyboardInterrupt, SystemExit):
        with _undisturbed():
            walk.stop()
            _close_runs(store, "KILLED", "interrupted")
        parents = [above.parent] if above is not None else [branch.record.parent for branch in walk.branches]
        run = f" (run {parents[0]})" if parents else ""
        raise Interrupted(f"interrupted{run}: finished stages are kept; run the same command to resume") from None
    except BaseException as error:
        with _undisturbed():
            walk.stop()
            _close_runs(store, "FAILED", one_line(error))
        raise
    finally:
        if lock is not None:
            work.release(lock)
            work.forget_inputs(_PROCESS)


def _close_runs(store: Store, status: str, error: str) -> None:
    """Close what this process has left open, as far as the store can be reached."""
    with suppress(TrackingError):
        store.close_runs(str(store.process), status, error)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing interrupts the marking of what was interrupted."""
    if not _in_main():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
