"""The points of a training's curves: the values of every step put together over `logging_steps` of them.

The trainer is asked to log each step, so that the watch sees each; the curves stay those that the recipe asks for.
"""

import math
from collections.abc import Mapping

_LAST = ("learning_rate", "grad_norm", "epoch", "num_tokens")
"""Values of which the last one stands for a window; of all others it is the mean."""
_LEAST, _ENOUGH = 8, 20
"""A curve of fewer points than the one cannot be read: such a training is logged so often as to have the other."""


def every(logging_steps: int, total: int) -> int:
    """After how many steps a point is due: the recipe's number, or fewer where a short training had no curve then."""
    return logging_steps if total // logging_steps >= _LEAST else max(1, total // _ENOUGH)


class Windows:
    """Gathers the values of steps until a point is due; each value's mean is over the steps that have it."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """The values of one step. What is not finite is no part of a curve."""
        for name, value in values.items():
            if math.isfinite(value):
                self._seen.setdefault(name, []).append(value)

    def point(self) -> dict[str, float]:
        """The point that is due; the next window begins."""
        point = {name: seen[-1] if name in _LAST else sum(seen) / len(seen) for name, seen in self._seen.items()}
        self._seen = {}
        return point
