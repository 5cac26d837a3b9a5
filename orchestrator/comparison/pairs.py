"""The models of one single-seed run, each compared with its baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.comparison.answers import Evaluated
from orchestrator.comparison.baseline import baseline_of
from orchestrator.comparison.build import compare_evaluated
from orchestrator.comparison.types import Comparison
from orchestrator.comparison.words import contaminated
from orchestrator.plan.plan import Plan
from orchestrator.results import Difference
from orchestrator.types import BASE, Finding


def baseline(plan: Plan) -> str:
    """The model that the others are compared with: the first SFT model that is evaluated, otherwise the base model."""
    evaluated = plan.recipe.models()
    in_order = [name for name in plan.recipe.stages if name in evaluated]
    return baseline_of(in_order, {name: spec.verb for name, spec in plan.recipe.stages.items()})


def compare_one_run(
    on: str, results: Mapping[str, Path], against: str, seed: int = 0, findings: Iterable[Finding] = ()
) -> Comparison:
    """Compare models of one seed; `results` has the file of each model's evaluation.

    Raises:
        InputError: an evaluation cannot be read.
    """
    evaluated = [Evaluated(m, m, () if m == BASE else (seed,), (), (file,)) for m, file in results.items()]
    pairs = {model: against for model in results if model != against} if against in results else {}
    return replace(compare_evaluated(on, evaluated, pairs), contaminated=contaminated(findings))


def differences(comparison: Comparison) -> tuple[Difference, ...]:
    """The same differences in the form used by a run's result."""
    return tuple(
        Difference(d.label, d.baseline, d.difference, d.low, d.high, d.p_corrected, d.wins, d.losses)
        for d in comparison.differences
    )
