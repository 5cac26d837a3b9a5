"""A sweep's result: its trials side by side, the test of the winner, and the shared stages, in words and figures."""

from collections.abc import Iterable
from typing import Any

from orchestrator.comparison import ComparedModel, ModelDifference, compare_evaluated
from orchestrator.results import SweepResult, TrialResult
from orchestrator.runs.progress import Branch
from orchestrator.runs.state import StageState
from orchestrator.sweeps.choosing import Standings
from orchestrator.sweeps.planned import asked
from orchestrator.sweeps.proposing import importance
from orchestrator.sweeps.search import Search, Tried
from orchestrator.sweeps.words import Chosen, standing, verdict
from orchestrator.tasks.judged_by import judged_by


def sweep_result(search: Search, run_id: str, experiment: str) -> SweepResult:
    """The sweep's result; the winner's recipe is not written yet."""
    found, metric = search.standings, search.variants.metric
    costs = search.costs(search.trials)
    rows = tuple(_row(trial, found, *costs[trial.number]) for trial in search.trials)
    comparison = None
    sentences: list[str] = []
    errors = [f"trial {trial.number}: {trial.error}" for trial in search.trials if trial.state == "failed"]
    errors += search.lost
    best = None
    if found is not None:
        taken = search.trials[found.taken]
        best = {"number": taken.number, "label": dict(taken.values), "recipe": None}
        errors += [e for side in search.tested.values() for b in side if b.result for e in b.result.errors]
        comparison = _test(search)
        compared = sum(trial.state in ("complete", "pruned") for trial in search.trials)  # ended early: worse
        on = search.variants.recipe.evaluate.on
        difference = comparison[1] if comparison is not None else None
        chosen = Chosen(found.taken, found.best, compared, metric.on)
        said = verdict(difference, chosen, on, _is_own(search, taken))
        sentences = [*said, *standing(rows, found.best, found.taken)]
    elif search.trials:
        sentences = ["No trial was completed."]
    if search.spent_out:
        sentences.append("The budget did not allow further trials.")
    complete_values = {
        str(t.number): (t.values, t.value) for t in search.trials if t.state == "complete" and t.value is not None
    }
    return SweepResult(
        run_id,
        experiment,
        {"name": metric.name, "goal": metric.goal, "on": metric.on},
        rows,
        best,
        None if comparison is None else _tested_json(search.variants.recipe.evaluate.on, *comparison),
        _stages(search),
        _shared(search),
        importance(search.variants.sweep, complete_values),
        tuple(sentences),
        tuple(errors),
        judged_by=judged_by(search.variants.own.recipe.task),
    )


def _is_own(search: Search, trial: Tried) -> bool:
    seed = search.variants.seeds[0]
    return search.variants.tested(trial.values, seed, "").plan.key == search.variants.tested({}, seed, "").plan.key


def _test(search: Search) -> tuple[list[ComparedModel], ModelDifference | None] | None:
    if any(not b.result or not b.result.models for side in search.tested.values() for b in side):
        return None
    sides = [search.evaluated(branches, side) for side, branches in search.tested.items()]
    found = compare_evaluated(search.variants.recipe.evaluate.on, sides, {"proposed": "own"})
    return list(found.models), next(iter(found.differences), None)


def _row(trial: Tried, found: Standings | None, seconds: float, gpu_hours: float) -> TrialResult:
    model = None if found is None else found.models.get(trial.number)
    difference = None if found is None else found.differences.get(trial.number)
    return TrialResult(
        trial.number,
        dict(trial.values),
        "stopped" if trial.state == "running" else trial.state,
        trial.value if model is None else model.accuracy,
        None if model is None else model.accuracy_low,
        None if model is None else model.accuracy_high,
        found is not None and trial.number in found.tied,
        None if difference is None else difference.difference,
        None if difference is None else difference.p_corrected,
        seconds,
        gpu_hours,
        trial.run_id,
        trial.error,
        len(trial.branches),
    )


def _shared(search: Search) -> dict[str, dict[str, int]]:
    keys: dict[str, list[str]] = {}
    for trial in search.trials:
        for branch in trial.branches:
            for stage in branch.plan.stages:
                keys.setdefault(stage.name, []).append(stage.key)
    return {name: {"trials": len(found), "made": len(set(found))} for name, found in keys.items()}


def _stages(search: Search) -> dict[str, int]:
    tried = _states(branch for trial in search.trials for branch in trial.branches)
    last = _states(branch for side in search.tested.values() for branch in side)
    states = tried + last
    run = {state.stage.key for state in states if state.state == "done"}
    distinct = {state.stage.key for state in states}
    return {
        "asked": asked([state.stage.key for state in tried], [state.stage.key for state in last]),
        "distinct": len(distinct),
        "run": len(run),
        "reused": len({s.stage.key for s in states if s.state == "cached"} - run),
    }


def _states(branches: Iterable[Branch]) -> list[StageState]:
    return [state for branch in branches for state in branch.states.values()]


def _tested_json(on: str, models: list[ComparedModel], difference: ModelDifference | None) -> dict[str, Any]:
    names = ("label", "accuracy", "accuracy_low", "accuracy_high", "answer_rate", "n")
    told = ("label", "baseline", "difference", "low", "high", "p", "wins", "losses", "n", "detectable")
    return {
        "on": on,
        "models": [{name: getattr(model, name) for name in names} for model in models],
        "differences": [] if difference is None else [{name: getattr(difference, name) for name in told}],
    }
