"""Several seeds of one recipe as one result: each model's mean accuracy, how much seeds vary, differences.

Knows the figures of each seed's run; nothing of where they are kept or how they are shown.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.stats import t

from orchestrator.results import (
    Difference,
    DifferenceOverSeeds,
    EvaluationOverSeeds,
    ModelOverSeeds,
    ModelResult,
    RunResult,
    SeedsResult,
)
from orchestrator.types import Finding

CONFIDENCE = 0.95


def over_seeds(run_id: str, experiment: str, seeds: Sequence[int], runs: Sequence[RunResult]) -> SeedsResult:
    """Put the runs of single seeds together; `runs` stand in the order of `seeds`.

    A model that fails with some seeds is averaged over the others, which are named.
    """
    on = dict.fromkeys(evaluation.on for run in runs for evaluation in run.also)
    return SeedsResult(
        run_id,
        experiment,
        tuple(seeds),
        _models(runs, None),
        _differences(runs, None),
        tuple(runs),
        tuple(EvaluationOverSeeds(name, _models(runs, name), _differences(runs, name)) for name in on),
        tuple(f"seed {run.seed}: {error}" for run in runs for error in run.errors),
        _findings(runs),
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float | None, float | None, float | None]:
    """Mean, standard deviation (n - 1), and the 95% interval of the mean with Student's t; None for a single value."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, None, None, None
    sd = stdev(values)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * sd / math.sqrt(len(values))
    return mean, sd, mean - half, mean + half


def metrics_of(found: SeedsResult) -> dict[str, float]:
    """The aggregate as metrics of the run above the seeds: `rft/accuracy_mean`, on a further split `longer/rft/...`."""
    metrics: dict[str, float] = {}
    splits = [("", found.models, found.differences), *((f"{a.on}/", a.models, a.differences) for a in found.also)]
    for prefix, models, differences in splits:
        for m in models:
            figures = {
                "accuracy_mean": m.accuracy_mean,
                "accuracy_sd": m.accuracy_sd,
                "accuracy_low": m.accuracy_low,
                "accuracy_high": m.accuracy_high,
                "answer_rate_mean": m.answer_rate_mean,
                "n": m.n,
                "seeds": len(m.seeds),
            }
            metrics |= {f"{prefix}{m.model}/{name}": value for name, value in figures.items() if value is not None}
        for d in differences:
            figures = {
                "difference_mean": d.difference_mean,
                "difference_sd": d.difference_sd,
                "difference_low": d.difference_low,
                "difference_high": d.difference_high,
            }
            metrics |= {f"{prefix}{d.model}/{name}": value for name, value in figures.items() if value is not None}
    return metrics


def _models(runs: Sequence[RunResult], on: str | None) -> tuple[ModelOverSeeds, ...]:
    """Every model that some seed has evaluated, in the recipe's order."""
    names = dict.fromkeys(m.model for run in runs for m in _evaluated(run, on)[0])
    return tuple(_model(name, runs, on) for name in names)


def _model(name: str, runs: Sequence[RunResult], on: str | None) -> ModelOverSeeds:
    found = {run.seed: m for run in runs for m in _evaluated(run, on)[0] if m.model == name}
    accuracies = tuple(m.accuracy for m in found.values())
    first = next(iter(found.values()))
    stage = f"evaluate.{name}" if on is None else f"evaluate.{name}.{on}"
    keys = {row["key"] for run in runs if run.seed in found for row in run.stages if row["name"] == stage}
    shared = len(keys) == 1
    mean, sd, low, high = mean_interval(accuracies)
    if shared:
        sd, low, high = None, first.accuracy_low, first.accuracy_high
    return ModelOverSeeds(
        model=name,
        seeds=tuple(seed for seed in found if seed is not None),
        accuracies=accuracies,
        accuracy_mean=mean,
        accuracy_sd=sd,
        accuracy_low=None if low is None else max(0.0, low),
        accuracy_high=None if high is None else min(1.0, high),
        answer_rate_mean=fmean(m.answer_rate for m in found.values()),
        n=first.n,
        shared=shared,
    )


def _differences(runs: Sequence[RunResult], on: str | None) -> tuple[DifferenceOverSeeds, ...]:
    names = dict.fromkeys((d.model, d.baseline) for run in runs for d in _evaluated(run, on)[1])
    return tuple(_difference(model, baseline, runs, on) for model, baseline in names)


def _difference(model: str, baseline: str, runs: Sequence[RunResult], on: str | None) -> DifferenceOverSeeds:
    found = {run.seed: d.difference for run in runs for d in _evaluated(run, on)[1] if d.model == model}
    seeds = tuple(seed for seed in found if seed is not None)
    return DifferenceOverSeeds(model, baseline, seeds, tuple(found.values()), *mean_interval(tuple(found.values())))


def _evaluated(run: RunResult, on: str | None) -> tuple[tuple[ModelResult, ...], tuple[Difference, ...]]:
    """The models and differences of a run on one split; None: the one that models are compared on."""
    if on is None:
        return run.models, run.differences
    return next(((a.models, a.differences) for a in run.also if a.on == on), ((), ()))


def _findings(runs: Sequence[RunResult]) -> tuple[Finding, ...]:
    """What was noticed, each thing once."""
    return tuple({(f.check, f.what): f for run in runs for f in run.findings}.values())
