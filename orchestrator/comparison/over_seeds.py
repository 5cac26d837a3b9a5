"""Several seeds of one recipe as one result: each model's mean accuracy, its spread over seeds, differences.

Intervals are those of `orch compare`: for new seeds and new questions (stats/seeds.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.comparison import (
    ComparedModel,
    Evaluated,
    ModelDifference,
    compare_evaluated,
    conclusions,
    contaminated,
    remarks,
)
from orchestrator.results import (
    Difference,
    DifferenceOverSeeds,
    EvaluationOverSeeds,
    ModelOverSeeds,
    ModelResult,
    RunResult,
    SeedsResult,
)
from orchestrator.types import BASE, Finding

Results = Callable[[str, str | None], Path]
"""The file of answers for a model's run id, on a further split or (None) on the one models are compared on."""


def over_seeds(
    run_id: str, experiment: str, seeds: Sequence[int], runs: Sequence[RunResult], results: Results
) -> SeedsResult:
    """Combine the runs of single seeds; `runs` are in the order of `seeds`.

    A model that fails with some seeds is averaged over the others, which the result lists.
    """
    on = dict.fromkeys(evaluation.on for run in runs for evaluation in run.also)
    compared = _together(runs, None, results)
    return SeedsResult(
        run_id,
        experiment,
        tuple(seeds),
        compared.models,
        compared.differences,
        tuple(runs),
        tuple(_together(runs, name, results) for name in on),
        tuple(f"seed {run.seed}: {error}" for run in runs for error in run.errors),
        _findings(runs),
        compared.conclusions,
        judged_by=runs[0].judged_by if runs else "",
        remarks=compared.remarks,
    )


def metrics_of(found: SeedsResult) -> dict[str, float]:
    """The aggregate as metrics of the seeds' parent run: `rft/accuracy_mean`, on a further split `longer/rft/...`."""
    metrics: dict[str, float] = {}
    splits = [("", found.models, found.differences), *((f"{a.on}/", a.models, a.differences) for a in found.also)]
    for prefix, models, differences in splits:
        for m in models:
            name = f"{prefix}{m.model}"
            metrics |= {
                f"{name}/accuracy_mean": m.accuracy_mean,
                f"{name}/accuracy_low": m.accuracy_low,
                f"{name}/accuracy_high": m.accuracy_high,
                f"{name}/answer_rate_mean": m.answer_rate_mean,
                f"{name}/n": m.n,
                f"{name}/seeds": len(m.seeds),
            } | ({} if m.accuracy_sd is None else {f"{name}/accuracy_sd": m.accuracy_sd})
        for d in differences:
            metrics |= {
                f"{prefix}{d.model}/difference_mean": d.difference_mean,
                f"{prefix}{d.model}/difference_low": d.difference_low,
                f"{prefix}{d.model}/difference_high": d.difference_high,
            }
    return metrics


def _together(runs: Sequence[RunResult], on: str | None, results: Results) -> EvaluationOverSeeds:
    """All models that at least one seed has evaluated on a split, in the recipe's order."""
    named = on or ""
    names = dict.fromkeys(m.model for run in runs for m in _evaluated(run, on)[0])
    if not names:
        return EvaluationOverSeeds(named, (), (), ())
    found = {name: _of(name, runs, on) for name in names}
    evaluated = [_files(name, seeds, on, results, runs) for name, seeds in found.items()]
    pairs = {d.model: d.baseline for run in runs for d in _evaluated(run, on)[1] if {d.model, d.baseline} <= set(names)}
    comparison = replace(
        compare_evaluated(named, evaluated, pairs), contaminated=contaminated(f for run in runs for f in run.findings)
    )
    by_label = {one.label: one for one in evaluated}
    return EvaluationOverSeeds(
        named,
        tuple(_model(m, found[m.label], bool(by_label[m.label].seeds)) for m in comparison.models),
        tuple(_difference(d, found[d.label], found[d.baseline]) for d in comparison.differences),
        conclusions(comparison),
        remarks(comparison),
    )


def _of(name: str, runs: Sequence[RunResult], on: str | None) -> dict[int, ModelResult]:
    """One model's results by seed."""
    return {run.seed or 0: m for run in runs for m in _evaluated(run, on)[0] if m.model == name}


def _files(
    name: str, found: Mapping[int, ModelResult], on: str | None, results: Results, runs: Sequence[RunResult]
) -> Evaluated:
    """The files of a model's answers: one per seed, or a single one if the seed has no effect."""
    stage = f"evaluate.{name}" if on is None else f"evaluate.{name}.{on}"
    rows = {run.seed: row for run in runs for row in run.stages if row["name"] == stage}
    shared = name == BASE or (len(found) > 1 and len({rows[seed]["key"] for seed in found}) == 1)
    kept = tuple(str(rows[seed]["run_id"]) for seed in found)[: 1 if shared else None]
    return Evaluated(name, name, () if shared else tuple(found), kept, tuple(results(run, on) for run in kept))


def _model(m: ComparedModel, found: Mapping[int, ModelResult], several: bool) -> ModelOverSeeds:
    return ModelOverSeeds(
        model=m.model,
        seeds=tuple(found),
        accuracies=tuple(one.accuracy for one in found.values()),
        accuracy_mean=m.accuracy,
        accuracy_sd=m.seed_sd,
        accuracy_low=m.accuracy_low,
        accuracy_high=m.accuracy_high,
        answer_rate_mean=m.answer_rate,
        n=m.n,
        shared=not several,
        answers_each=m.answers_each,
    )


def _difference(
    d: ModelDifference, ours: Mapping[int, ModelResult], theirs: Mapping[int, ModelResult]
) -> DifferenceOverSeeds:
    both = [seed for seed in ours if seed in theirs]
    return DifferenceOverSeeds(
        model=d.label,
        baseline=d.baseline,
        seeds=tuple(both),
        differences=tuple(ours[seed].accuracy - theirs[seed].accuracy for seed in both),
        difference_mean=d.difference,
        difference_low=d.low,
        difference_high=d.high,
        p=d.p_corrected,
    )


def _evaluated(run: RunResult, on: str | None) -> tuple[tuple[ModelResult, ...], tuple[Difference, ...]]:
    """The models and differences of a run on one split; None: the split that models are compared on."""
    if on is None:
        return run.models, run.differences
    return next(((a.models, a.differences) for a in run.also if a.on == on), ((), ()))


def _findings(runs: Sequence[RunResult]) -> tuple[Finding, ...]:
    """The findings of all runs, without duplicates."""
    return tuple({(f.check, f.what): f for run in runs for f in run.findings}.values())
