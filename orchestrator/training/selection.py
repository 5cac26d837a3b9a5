"""Selecting a checkpoint of a training: a pure function of the points measured on the validation split.

Knows no model, no file and no trainer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.training.settings import Selection

_STANDS_OUT = 3.0
"""A loss is isolated if it is further below its neighbors than this many typical point-to-point changes..."""
_LEAST_STEP = 0.01
"""... each of which counts as at least this share of the loss."""
_BEFORE, _AFTER = 4, 2
"""Number of points before and after a point from which the typical change is computed."""


@dataclass(frozen=True, slots=True)
class Point:
    """The measurements at one step."""

    step: int
    loss: float
    """Mean negative log-likelihood, nats per target token."""
    accuracy: float
    """Share of the validation questions answered correctly with greedy decoding."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The selected step, and why."""

    step: int
    why: str


def choose(points: Sequence[Point], rule: Selection) -> Choice:
    """The point that a rule chooses; `points` are in step order and not empty.

    `best_accuracy`: the highest accuracy, the earliest on a tie. `best_loss`: the lowest loss that is not isolated.
    `last`: the last point.
    """
    n = len(points)
    if rule == "best_accuracy":
        best = max(points, key=lambda p: (p.accuracy, -p.step))
        same = sum(p.accuracy == best.accuracy for p in points)
        tie = f", the earliest of {same} with that accuracy" if same > 1 else ""
        return Choice(best.step, f"accuracy {best.accuracy:.3f} at step {best.step}, the highest of {n} points{tie}")
    finite = [i for i, p in enumerate(points) if math.isfinite(p.loss)]
    if rule == "best_loss" and finite:
        sound = [i for i in finite if not _alone(points, i)]  # never empty: an isolated one has a neighbor that is not
        best = min((points[i] for i in sound), key=lambda p: (p.loss, p.step))
        lower = [points[i] for i in finite if points[i].loss < best.loss]
        passed = "".join(f"; {p.loss:.3f} at step {p.step} is ignored as an isolated dip" for p in lower)
        return Choice(best.step, f"loss {best.loss:.3f} at step {best.step}, the lowest of {n} points{passed}")
    return Choice(points[-1].step, f"the last of {n} points")


def in_question(points: Sequence[Point], rule: Selection) -> frozenset[int]:
    """The steps that may still be chosen as more points come in, including the current choice."""
    kept = {choose(points, rule).step}
    if rule == "best_loss":  # the points that follow decide whether a loss is isolated
        settled = points[:-_AFTER]
        kept |= {p.step for p in points[-_AFTER:]}
        candidates = [i for i, p in enumerate(settled) if math.isfinite(p.loss) and not _alone(points, i)]
        if candidates:
            kept.add(min((points[i] for i in candidates), key=lambda p: (p.loss, p.step)).step)
    return frozenset(kept)


def _alone(points: Sequence[Point], at: int) -> bool:
    """Whether a loss is below every adjacent point by far more than adjacent points usually differ."""
    losses = [p.loss for p in points]
    beside = [losses[i] for i in (at - 1, at + 1) if 0 <= i < len(losses) and math.isfinite(losses[i])]
    window = range(max(0, at - _BEFORE), min(len(losses) - 1, at + _AFTER))
    steps = [abs(losses[i + 1] - losses[i]) for i in window if at not in (i, i + 1)]
    steps = [step for step in steps if math.isfinite(step)]
    if not beside or not steps:
        return False
    usual = max(median(steps), _LEAST_STEP * abs(median(beside)))
    return min(beside) - losses[at] > _STANDS_OUT * usual
