"""`run` as a function: run a recipe, or find its finished stages in the store, and return its models side by side."""

from contextlib import suppress
from dataclasses import replace

from orchestrator.commands.notebook import watched_here
from orchestrator.errors import TrackingError
from orchestrator.plan.forecast import past_costs
from orchestrator.plan.plan import Plan, TrialsPlan, compile_recipe, plans_of
from orchestrator.recipe.recipe import Recipe
from orchestrator.report.make import report_of, with_report
from orchestrator.results import RunResult, SeedsResult
from orchestrator.runs.cluster import Cluster, disconnect
from orchestrator.runs.home import Home
from orchestrator.runs.interruption import given_up, interruptible, process_of
from orchestrator.runs.known import known
from orchestrator.runs.mirror import Mirror
from orchestrator.runs.preflight import prepared
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.result import read_again
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.state import RunState, StageState, Watcher
from orchestrator.runs.trials import TrialsRecord, read_trials_again
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.client import Patience
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.opening import existing_store
from orchestrator.store.place import store_folder
from orchestrator.types import Finding


def run(recipe: Recipe, watcher: Watcher | None = None) -> RunResult | SeedsResult:
    """Run a recipe and return its models side by side; with `seeds`, the aggregate over them.

    Shows its progress in a notebook; elsewhere progress is reported only to `watcher`.
    Failed stages are reported in the result's `errors`; stages that do not depend on them are finished first.

    Raises:
        InputError: something the recipe needs cannot be used; nothing was started.
        CheckError: the setup would make the numbers wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; the workers are gone and the run is marked KILLED.
    """
    state = RunState(recipe.name, watcher or watched_here())
    with interruptible(), state.watched():
        return _run(recipe, state)


def _run(recipe: Recipe, state: RunState) -> RunResult | SeedsResult:
    state.set_up("reading the store")
    plan = compile_recipe(recipe)
    store = existing_store()
    if store is not None:
        plan = known(plan, store)
        if all(stage.cached for stage in plan.stages):
            found = read_trials_again(store, plan) if isinstance(plan, TrialsPlan) else read_again(store, plan)
            if found is None:
                found = _carry_out(plan, store, work_folder(recipe), None, state)
            state.run_id = found.run_id
            state.conclude("reading the results")
            with suppress(TrackingError):  # in a read-only store, `last` stays the newest run
                store.asked_again(store.find(found.run_id))
            made = report_of(store, found.run_id)
            return with_report(found, recipe.task) if made is None else replace(found, report=made)
    work = work_folder(recipe)
    try:
        state.stages = _not_begun(plan)
        ready = prepared(plans_of(plan)[:1], work, state.set_up)  # the checks do not depend on the seed
        done = _carry_out(plan, ready.store, work, ready.cluster, state, ready.noticed, ready.home)
    finally:
        work.close()
        disconnect()
    state.conclude("writing the report")
    return with_report(done, recipe.task)


def _not_begun(plan: Plan | TrialsPlan) -> list[StageState]:
    titled = [(t.title, t.plan) for t in plan.trials] if isinstance(plan, TrialsPlan) else [("", plan)]
    return [StageState(stage, trial=title) for title, each in titled for stage in each.stages]


def work_folder(recipe: Recipe) -> WorkFolder:
    """The work folder of a recipe's stages; raises InputError if it is not writable."""
    work = WorkFolder(recipe.work_folder or store_folder() / "work")
    if recipe.work_url is not None:
        work.copy = Mirror(recipe.work_url, work.root)
    return work


def _carry_out(
    plan: Plan | TrialsPlan,
    store: Store,
    work: WorkFolder,
    cluster: Cluster | None,
    state: RunState,
    noticed: tuple[Finding, ...] = (),
    home: Home | None = None,
) -> RunResult | SeedsResult:
    """Walk over the plan, or over the plans of all trials at once, and record the results."""
    walk = Walk([], store, work, cluster, lambda states: state.walked(states, walk.note), home)
    patience = Patience(60 * plans_of(plan)[0].recipe.limits.wait_for_store, walk.tell)
    above: TrialsRecord | None = None

    def begun() -> list[str]:
        return [above.parent] if above is not None else [branch.record.parent for branch in walk.branches]

    with process_of(store, work, patience), given_up(walk, store, begun):
        above = TrialsRecord(store, plan) if isinstance(plan, TrialsPlan) else None
        past, later = past_costs(store, kind_of_machine()), walk.writer.submit
        if above is None or not isinstance(plan, TrialsPlan):
            assert isinstance(plan, Plan)
            record = Record(store, plan, past, later)
            state.run_id = record.parent
            state.set_up("storing the recipe")
            record.describe()
            walk.branches.append(Branch(plan, record, noticed))
        else:
            state.run_id = above.parent
            state.set_up("storing the trials")
            for trial in plan.trials:
                record = Record(store, trial.plan, past, later, above.parent, trial, above.shown)
                walk.branches.append(Branch(trial.plan, record, noticed, trial.title))
        for branch in walk.branches:
            for name, expected in branch.record.forecasts.items():
                branch.states[name].expected = expected.seconds
        walk.go()
        results = [branch.result for branch in walk.branches if branch.result is not None]
        return results[0] if above is None else above.ended(results)
