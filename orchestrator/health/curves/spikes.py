"""Spikes of the training loss: single points far above their neighbors, from which it recovered."""

from typing import Any

import numpy as np

from orchestrator.health.curves.advice import steadier
from orchestrator.health.curves.loss import LEAST, logged_at
from orchestrator.health.curves.reading import Reading, Training
from orchestrator.health.curves.series import NORMAL, Series
from orchestrator.types import Finding

_SPIKE_NOISE = 10.0
"""A spike stands out by this many deviations of the noise around it: batches vary with heavier tails than normal ..."""
_SPIKE_SHARE = 0.75
"""... and by this share of the level around it ..."""
_SPIKE_DIPS = 2.0
"""... and by this many times the depth of the deepest dip: noise goes both ways, a spike only up ..."""
_SPIKE_NATS = 0.15
"""... and by at least this many nats."""
_LONE = 2.0
"""The only spike of a training is reported if it exceeds the level around it by this many times that level; small
batches cause a lower one now and then."""
_SPIKE_POINTS = 2
"""Longest run of points that is a spike; a longer one is a region."""
_SPIKE_GRADIENT = 3.0
"""If each step is logged, a spike's gradient must be this many times the usual one: a batch that is merely hard to
predict does not move the weights much."""
_AROUND = 10
"""Number of points on each side that a spike is compared with."""


def spikes(training: Training) -> Reading | None:
    """Single points far above their neighbors, from which the loss recovered."""
    loss, grad = training["loss"], training["grad_norm"]
    if len(loss) < LEAST:
        return None
    median = loss.smooth(2 * _SPIKE_POINTS + 3)
    over = loss.values - median
    dip = _SPIKE_DIPS * float(np.max(-over / median))
    high = [_stands_out(over, median, dip, i) for i in range(len(loss))]
    found = [i for i in range(_SPIKE_POINTS + 1, len(loss) - _SPIKE_POINTS) if high[i] and _recovered(high, i)]
    found = [i for i in found if _moved_much(grad, int(loss.steps[i]))]
    if not found or (len(found) == 1 and over[found[0]] < _LONE * median[found[0]]):
        return None
    steps = tuple(int(loss.steps[i]) for i in found)
    worst = max(found, key=lambda i: float(over[i]))
    times = "once" if len(found) == 1 else f"{len(found)} times"
    return Reading(
        Finding(
            "loss-spikes",
            "info" if len(found) == 1 else "warning",
            f"the loss spiked {times} and recovered, at step{'s' if len(found) > 1 else ''} {_listed(steps)}",
            f"highest {loss.values[worst]:.2f} at step {loss.steps[worst]}, with {median[worst]:.2f} around it"
            + logged_at(training, int(loss.steps[worst])),
            "single batches with large gradients: rows unlike the others, or steps that are a little too large",
            steadier(training.settings, grad),
        ),
        "loss",
        steps,
    )


def _stands_out(over: Any, median: Any, dip: float, i: int) -> bool:
    around: Any = np.delete(over[max(0, i - _AROUND) : i + _AROUND + 1], min(i, _AROUND))
    noise = NORMAL * float(np.median(np.abs(around)))
    return bool(over[i] > max(_SPIKE_NOISE * noise, max(_SPIKE_SHARE, dip) * median[i], _SPIKE_NATS))


def _moved_much(grad: Series, step: int) -> bool:
    """Whether the gradient of a step was unlike the others; True if it was not logged."""
    norms = dict(zip(grad.steps.tolist(), grad.values.tolist(), strict=True))
    around = [norms[s] for s in range(step - _AROUND, step + _AROUND + 1) if s in norms and s != step]
    if step not in norms or len(around) < _AROUND:
        return True
    return bool(norms[step] >= _SPIKE_GRADIENT * float(np.median(around)))


def _recovered(high: list[bool], i: int) -> bool:
    """Whether the point is part of a short run of high ones, followed by low ones."""
    begin = end = i
    while high[begin - 1]:
        begin -= 1
    while end < len(high) and high[end]:
        end += 1
    return end - begin <= _SPIKE_POINTS and end + 1 < len(high) and not high[end + 1]


def _listed(steps: tuple[int, ...], most: int = 6) -> str:
    shown = ", ".join(str(step) for step in steps[:most])
    return shown if len(steps) <= most else f"{shown} and {len(steps) - most} more"
