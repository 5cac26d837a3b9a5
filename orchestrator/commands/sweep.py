"""`sweep` as a function: run many variants of a recipe, each shared stage only once, and test the best one."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.commands.notebook import sweep_watched_here
from orchestrator.commands.run import work_folder
from orchestrator.errors import InputError, RecipeError
from orchestrator.plan.forecast import past_costs
from orchestrator.plan.plan import Plan, Trial
from orchestrator.recipe.paths import absolute_paths
from orchestrator.recipe.recipe import Recipe, load_recipe, load_sweep, parse_recipe
from orchestrator.recipe.yaml_source import write_data
from orchestrator.report.make import with_sweep_report
from orchestrator.results import SweepResult
from orchestrator.runs.cluster import Cluster, disconnect
from orchestrator.runs.home import Home
from orchestrator.runs.interruption import given_up, interruptible, process_of
from orchestrator.runs.preflight import prepared
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.client import Patience
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.names import SWEEP, VERB_TAG
from orchestrator.store.opening import existing_store, open_store
from orchestrator.sweeps.best_file import as_comment, with_values
from orchestrator.sweeps.outcome import sweep_result
from orchestrator.sweeps.proposing import proposer
from orchestrator.sweeps.record import SweepRecord, best_recipe, finished, known_trials, read_sweep
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.variants import Label, Variants
from orchestrator.sweeps.words import shown
from orchestrator.types import Finding

Watcher = Callable[[Search | None, list[StageState]], None]
"""Called with a sweep's progress: the search (None before it begins) and the stages of all open trials."""


def sweep(recipe: Recipe, watcher: Watcher | None = None) -> SweepResult:
    """Try the variants described by a recipe's `sweep` block; report the best one and the confidence in that choice.

    Shows its progress in a notebook; elsewhere progress is reported only to `watcher`.
    Failed trials are reported in the result's `errors`. Stages and trials finished by an earlier sweep of the same
    recipe are reused, even if that sweep was killed.

    Raises:
        InputError: something the recipe needs cannot be used; nothing was started.
        CheckError: the setup would make the numbers wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; the workers are gone and the sweep is marked KILLED.
    """
    refuse_without_block(recipe)
    with interruptible():
        return _sweep(recipe, Variants(recipe), watcher or sweep_watched_here(recipe.name))


def refuse_without_block(recipe: Recipe) -> None:
    """Raise RecipeError for a recipe without a `sweep` block."""
    if recipe.sweep is None:
        raise RecipeError(
            f"{recipe.source}: has no sweep block: write one, or name values to try, such as "
            "stages.rft.learning_rate=1e-3,4e-3"
        )


def load_any(path: str | Path, overrides: Sequence[str], sweep: bool) -> Recipe:
    """Load a recipe to submit to a cluster, for a run or for its sweep.

    Raises:
        RecipeError: the recipe is invalid, or has no sweep.
    """
    if not sweep:
        return load_recipe(path, overrides)
    refuse_without_block(recipe := load_sweep(path, overrides))
    return recipe


def stored_sweep(run: str | None = None) -> SweepResult:
    """The result of a sweep, given its id or the beginning of it; by default, of the newest that has ended.

    Raises:
        InputError: there is no such sweep, or it has not ended.
    """
    store = open_store()
    if run is None or run == "last":
        for one in store.runs({VERB_TAG: SWEEP}):
            if (found := read_sweep(store, one.run_id)) is not None:
                return found
        raise InputError("no sweep has ended yet: `orch sweep RECIPE` runs one")
    named = store.find(run)
    if (found := read_sweep(store, named.run_id)) is None:
        what = f"is {named.status.lower()}" if named.verb == SWEEP else "is not a sweep"
        raise InputError(f"run {named.run_id} {what}: name a sweep that has ended")
    return found


def _sweep(recipe: Recipe, variants: Variants, watcher: Watcher) -> SweepResult:
    store = existing_store()
    if store is not None and (found := finished(store, variants)) is not None:
        return found
    work = work_folder(recipe)
    try:
        states = [StageState(stage, trial="") for stage in variants.own.stages]
        watcher(None, states)

        def notice(line: str) -> None:
            states[0].figure = line
            watcher(None, states)

        # check the training data for the test questions, too
        tested = variants.tested({}, variants.seeds[0], "").plan
        ready = prepared([variants.own, tested], work, notice)
        found = carry_out(variants, ready.store, work, ready.cluster, watcher, ready.noticed, ready.home)
    finally:
        work.close()
        disconnect()
    return with_sweep_report(found)


def carry_out(
    variants: Variants,
    store: Store,
    work: WorkFolder,
    cluster: Cluster,
    watcher: Watcher,
    noticed: tuple[Finding, ...],
    home: Home | None = None,
) -> SweepResult:
    """Run a sweep on a cluster and record it in a store; `noticed` are the findings of the checks before it."""
    search: Search | None = None
    record: SweepRecord | None = None
    walk = Walk([], store, work, cluster, lambda states: watcher(search, states), home)
    patience = Patience(60 * variants.recipe.limits.wait_for_store, walk.tell)
    with process_of(store, work, patience), given_up(walk, store, lambda: [] if record is None else [record.run_id]):
        proposes = proposer(variants.sweep, variants.seeds[0], variants.own_values)
        known = known_trials(store, variants)
        above = record = SweepRecord(store, variants)
        past = past_costs(store, kind_of_machine())

        def open_branches(trials: Sequence[tuple[Trial, Label]]) -> list[Branch]:
            made = store.finished({s.key: s for trial, _ in trials for s in trial.plan.stages}.values())
            plans = [trial.plan.with_cached(made) for trial, _ in trials]
            drawn = store.drawn({s.key: s for plan in plans for s in plan.may_be_drawn()}.values())
            return [
                open_branch(trial, plan.with_drawn(drawn), values)
                for (trial, values), plan in zip(trials, plans, strict=True)
            ]

        def open_branch(trial: Trial, plan: Plan, values: Label) -> Branch:
            later, params = walk.writer.submit, _params(trial, values)
            made = Record(store, plan, past, later, above.run_id, trial, above.shown, params)
            return Branch(plan, made, noticed, trial.title)

        def logged(branch: Branch, value: float | None) -> None:
            walk.writer.submit(
                branch.name, branch.name, lambda: above.trial(branch.record.parent, value, branch.given_up)
            )

        slots = _slots(variants, cluster)
        walk.feed = search = Search(variants, walk, store, proposes, known, open_branches, logged, past, slots)
        search.run_id = record.run_id
        walk.go()
        experiment = store.find(record.run_id).experiment
        found = sweep_result(search, record.run_id, experiment)
        record.ended(found, None if found.best is None else _best_recipe(variants.recipe, found.best, found.run_id))
        if found.best is None:
            return found
        return replace(found, best=found.best | {"recipe": best_recipe(store, record.run_id)})


def _params(trial: Trial, values: Label) -> Mapping[str, object]:
    """The MLflow params that distinguish a trial's run from the others."""
    return dict(values) | ({"seed": trial.label["seed"]} if "seed" in trial.label else {})


def _slots(variants: Variants, cluster: Cluster) -> int:
    """Number of trials that fit on the machine at once, by the size of their largest stages."""
    shares = [stage.spec.share(cluster.cores, cluster.gpus) for stage in variants.own.stages]
    cpus, gpus = max(share.all_cpus for share in shares), max(share.all_gpus for share in shares)
    return max(1, int(cluster.gpus // gpus) if gpus else cluster.total_cores // max(1, cpus))


def _best_recipe(recipe: Recipe, best: Mapping[str, Any], sweep_id: str) -> str:
    """The text of the recipe with the winner's values, with its comments if possible."""
    # absolute paths, so that it runs from any folder: relative ones would depend on its own
    winner = recipe.varied(best["label"])
    paths = absolute_paths(winner.written.data)
    values, wanted = dict(winner.written.overrides) | paths, winner.varied(paths).resolved()
    about = f"Trial {best['number']} of sweep {sweep_id[:8]}: {shown(best['label'])}"
    try:
        text = with_values(recipe.written.text, values, about)
        if parse_recipe(text, recipe.source, recipe.written.own_task, os.environ).resolved() == wanted:
            return text
    except Exception:  # whatever prevents editing the text: the values matter more
        pass
    # merged blocks pass a change on to others, and a recipe that extends another does not contain all its settings
    return as_comment(f"{about}\nEvery setting is written out: the recipe is composed of several parts") + write_data(
        wanted
    )
