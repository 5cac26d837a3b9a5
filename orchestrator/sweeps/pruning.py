"""Which trials to end early, by the accuracy that a training's `validation` measures while it goes on.

A pruner gets every measurement once, in the order in which they come in, and says at once whether that trial ends.
Measurements are accuracies on the same questions for every trial, which are not those that the winner is chosen on
alone: they are the first of that split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.recipe.sweep import Asha, Paired
from orchestrator.stats import mcnemar


class Pruner(Protocol):
    """Says which trials end."""

    def worse(self, trial: int, step: int, accuracy: float, right: str) -> str | None:
        """Why a trial that has come to this accuracy at this step is ended; None: it goes on.

        `right`: which questions it answered right, a 0 or 1 for each.
        """
        ...

    def complete(self, trial: int, accuracy: float) -> None:
        """A trial has come to its end with this accuracy on the metric's split."""
        ...


def pruner(spec: Asha | Paired) -> Pruner:
    """The pruner that a recipe asks for."""
    return _Asha(spec) if isinstance(spec, Asha) else _Paired(spec)


class _Asha:
    """Optuna's successive halving: a rung lets the best 1/eta of those that have reached it pass, and the first."""

    def __init__(self, spec: Asha) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._eta = spec.eta
        halving = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=spec.min_steps, reduction_factor=spec.eta, min_early_stopping_rate=0
        )
        self._study = optuna.create_study(direction="maximize", pruner=halving)
        self._trials: dict[int, Any] = {}

    def worse(self, trial: int, step: int, accuracy: float, right: str) -> str | None:
        if trial not in self._trials:
            self._trials[trial] = self._study.ask()
        self._trials[trial].report(accuracy, step)
        if not self._trials[trial].should_prune():
            return None
        return f"accuracy {accuracy:.3f} after {step} steps is not among the best 1/{self._eta} of those that got there"

    def complete(self, trial: int, accuracy: float) -> None:
        pass


@dataclass
class _Paired:
    """A paired test against the best trial at the same step, on the same questions."""

    spec: Paired
    _measured: dict[int, dict[int, str]] = field(default_factory=dict)
    """For each trial and step: which questions were answered right."""
    _complete: dict[int, float] = field(default_factory=dict)

    def worse(self, trial: int, step: int, accuracy: float, right: str) -> str | None:
        self._measured.setdefault(trial, {})[step] = right
        if step < self.spec.min_steps:
            return None
        best = self._best(trial, step, len(right))
        if best is None:
            return None
        theirs = self._measured[best][step]
        wins = sum(ours > other for ours, other in zip(right, theirs, strict=True))
        losses = sum(ours < other for ours, other in zip(right, theirs, strict=True))
        p = mcnemar(wins, losses) / 2
        if losses <= wins or p >= self.spec.p:
            return None
        return (
            f"accuracy {accuracy:.3f} after {step} steps is below the {theirs.count('1') / len(theirs):.3f} of trial "
            f"{best} there (paired test, one-sided p = {p:.3f})"
        )

    def complete(self, trial: int, accuracy: float) -> None:
        self._complete[trial] = accuracy

    def _best(self, trial: int, step: int, questions: int) -> int | None:
        """The best other trial that was measured at this step: by its end if it has come to it, else by this step."""

        def rank(number: int) -> tuple[bool, float, int]:
            there = self._measured[number][step].count("1") / questions
            return number in self._complete, self._complete.get(number, there), -number

        others = [
            number
            for number, steps in self._measured.items()
            if number != trial and len(steps.get(step, "")) == questions
        ]
        return max(others, key=rank, default=None)


def new_measurements(measured: Mapping[int, tuple[float, str]], seen: set[int]) -> list[tuple[int, float, str]]:
    """The measurements of a training that were not seen before, by step, those before its first step left out."""
    fresh = [(step, *measured[step]) for step in sorted(measured) if step and step not in seen]
    seen.update(step for step, *_ in fresh)
    return fresh
