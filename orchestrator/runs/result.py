"""A run's result, read back from the store, so that what is shown is what is stored."""

from collections.abc import Mapping, Sequence

from orchestrator.comparison import Comparison, baseline, compare_one_run, conclusions, differences, remarks
from orchestrator.errors import DataError, OutputError
from orchestrator.health.findings import findings_of, format_changed
from orchestrator.plan.plan import Plan
from orchestrator.results import Evaluation, ModelResult, RunResult
from orchestrator.runs.state import StageState
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import PLAN_TAG
from orchestrator.store.tables import read_stored
from orchestrator.tasks.judged_by import judged_by
from orchestrator.types import Finding

_ANSWERED = ("example_id", "question", "gold", "status")
"""The columns that an evaluation needs to be compared with others."""


def finished_run(store: Store, plan_key: str) -> str | None:
    """The id of the newest finished run of the plan with this key, if there is one."""
    run = next(store.runs({PLAN_TAG: plan_key}, status="FINISHED", limit=1), None)
    return None if run is None else run.run_id


def read_again(store: Store, plan: Plan, parent: str | None = None) -> RunResult | None:
    """The result of a finished run of the same plan; None if there is none."""
    parent = parent or finished_run(store, plan.key)
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
    """Read the models' figures back from the store, so that what is shown is what is stored."""
    findings = (*changed_format(plan), *noticed, *(finding for state in states for finding in state.findings))
    evaluations = {origins[stage.name] for stage in plan.stages if stage.is_evaluation and stage.name in origins}
    runs = {run.run_id: run for run in store.runs(ids={parent, *evaluations})}
    above = runs[parent]
    known = [*findings, *findings_of(above.tags)]  # also of the earlier run, if its result is only shown again
    lost: list[str] = []
    models, comparison = _side_by_side(store, runs, plan, origins, None, known, lost)
    further = [
        (also, *_side_by_side(store, runs, plan, origins, also, known, lost)) for also in plan.recipe.evaluate.also
    ]
    return RunResult(
        parent,
        above.experiment,
        models,
        tuple(state.row() for state in states),
        differences(comparison),
        (*(state.error for state in states if state.error), *lost),
        findings,
        tuple(Evaluation(also, m, differences(c), conclusions(c), remarks(c)) for also, m, c in further if m),
        plan.recipe.seed,
        conclusions=conclusions(comparison),
        judged_by=judged_by(plan.recipe.task),
        remarks=remarks(comparison),
    )


def _side_by_side(
    store: Store,
    runs: Mapping[str, StoredRun],
    plan: Plan,
    origins: dict[str, str],
    also: str | None,
    findings: Sequence[Finding],
    lost: list[str],
) -> tuple[tuple[ModelResult, ...], Comparison]:
    """The models evaluated on the same split, each against the baseline; what cannot be read is added to `lost`."""
    models, results = [], {}
    for stage in plan.stages:
        if stage.is_evaluation and stage.also == also and stage.name in origins:
            assert stage.model is not None
            run = runs.get(origins[stage.name])
            if run is None:
                lost.append(f"stage {stage.name!r}: its run was deleted in MLflow")
                continue
            try:
                file = store.output(run, stage.output)
                read_stored(file, _ANSWERED)
                models.append(_figures(stage.model, run.metrics, also))
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
        answers_each=int(metrics.get(f"{name}answers_per_question", 1)),
    )


def changed_format(plan: Plan) -> tuple[Finding, ...]:
    """The finding for a plan that uses a model with another answer format than the model's own."""
    return () if plan.format_change is None else (format_changed(plan.format_change),)
