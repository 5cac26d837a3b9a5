"""The points of a training's curves: per-step values aggregated over `logging_steps` steps.

The trainer logs every step, so that the watch sees each one; the curves keep the interval that the recipe sets.
"""

import math
from collections.abc import Mapping

_LAST = ("learning_rate", "grad_norm", "epoch", "num_tokens")
"""Values for which a window reports the last one; for all others it reports the mean."""
_LEAST, _ENOUGH = 8, 20
"""A curve with fewer points than the first cannot be read; such a training is logged often enough for the second."""


def every(logging_steps: int, total: int) -> int:
    """Steps between points: the recipe's number, or fewer if a short training would otherwise have no usable curve."""
    return logging_steps if total // logging_steps >= _LEAST else max(1, total // _ENOUGH)


class Windows:
    """Collects per-step values until a point is due; each value's mean is over the steps that have it."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of one step. Non-finite values are left out of the curves."""
        for name, value in values.items():
            if math.isfinite(value):
                self._seen.setdefault(name, []).append(value)

    def point(self) -> dict[str, float]:
        """Return the point that is due and start the next window."""
        point = {name: seen[-1] if name in _LAST else sum(seen) / len(seen) for name, seen in self._seen.items()}
        self._seen = {}
        return point
