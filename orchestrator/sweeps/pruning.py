"""Which trials to end early, by the accuracy that a training's `validation` measures as it runs.

A pruner gets every measurement once, in order of arrival, and decides at once whether that trial ends. Measurements are
accuracies on the same questions for every trial, but not on all questions that the winner is chosen on: only on the
first of that split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.recipe.sweep import Asha, Paired
from orchestrator.stats import mcnemar


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of a training."""

    step: int
    steps: int
    """Total steps of the training."""
    accuracy: float
    right: str
    """Which questions were answered correctly, a 0 or 1 for each."""

    @property
    def share(self) -> float:
        """The fraction of the training that is completed."""
        return self.step / self.steps


class Pruner(Protocol):
    """Decides which trials end early."""

    def worse(self, trial: int, point: Point) -> str | None:
        """Why a trial that has reached this point is ended; None: it continues."""
        ...

    def complete(self, trial: int, accuracy: float) -> None:
        """Record that a trial completed with this accuracy on the metric's split."""
        ...


def pruner(spec: Asha | Paired) -> Pruner:
    """The pruner that a recipe requests."""
    return _Asha(spec) if isinstance(spec, Asha) else _Paired(spec)


class _Asha:
    """Optuna's successive halving: a rung passes the best 1/eta of the trials that reached it, and the first one."""

    def __init__(self, spec: Asha) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._eta = spec.eta
        halving = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=spec.min_steps, reduction_factor=spec.eta, min_early_stopping_rate=0
        )
        self._study = optuna.create_study(direction="maximize", pruner=halving)
        self._trials: dict[int, Any] = {}

    def worse(self, trial: int, point: Point) -> str | None:
        if trial not in self._trials:
            self._trials[trial] = self._study.ask()
        self._trials[trial].report(point.accuracy, point.step)
        if not self._trials[trial].should_prune():
            return None
        return (
            f"accuracy {point.accuracy:.3f} after {point.step} steps is not among the best 1/{self._eta} of those that "
            "got there"
        )

    def complete(self, trial: int, accuracy: float) -> None:
        pass


@dataclass
class _Paired:
    """A paired test against the best trial on the same questions, after no more of that trial's training.

    Points are compared by the fraction of the training that is completed, not by steps: a training whose learning rate
    has decayed further is further along, however many steps it took.
    """

    spec: Paired
    _points: dict[int, list[Point]] = field(default_factory=dict)
    """For each trial, by step."""
    _complete: dict[int, float] = field(default_factory=dict)

    def worse(self, trial: int, point: Point) -> str | None:
        self._points.setdefault(trial, []).append(point)
        best = None if point.step < self.spec.min_steps else self._best(trial, point)
        if best is None:
            return None
        number, there = best
        wins = sum(ours > theirs for ours, theirs in zip(point.right, there.right, strict=True))
        losses = sum(ours < theirs for ours, theirs in zip(point.right, there.right, strict=True))
        p = mcnemar(wins, losses) / 2
        if losses <= wins or p >= self.spec.p:
            return None
        return (
            f"accuracy {point.accuracy:.3f} after {point.step} of {point.steps} steps is below the "
            f"{there.accuracy:.3f} of trial {number} after {there.step} of {there.steps} (paired test, one-sided "
            f"p = {p:.3f})"
        )

    def complete(self, trial: int, accuracy: float) -> None:
        self._complete[trial] = accuracy

    def _best(self, trial: int, point: Point) -> tuple[int, Point] | None:
        """The best other trial and its last point up to this one: complete trials rank first, by final accuracy."""
        before = {
            number: [one for one in points if one.share <= point.share and len(one.right) == len(point.right)]
            for number, points in self._points.items()
            if number != trial
        }
        last = {number: points[-1] for number, points in before.items() if points}

        def rank(number: int) -> tuple[bool, float, int]:
            return number in self._complete, self._complete.get(number, last[number].accuracy), -number

        return max(((number, last[number]) for number in last), key=lambda one: rank(one[0]), default=None)


def new_points(measured: Mapping[int, tuple[float, str]], steps: int, seen: set[int]) -> list[Point]:
    """The points of a training of `steps` steps that were not seen before, by step, without the one at step 0."""
    fresh = [Point(step, steps, *measured[step]) for step in sorted(measured) if step and step not in seen]
    seen.update(point.step for point in fresh)
    return fresh
