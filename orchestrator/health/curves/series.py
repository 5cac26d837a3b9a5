"""A logged curve as numbers, with robust statistics: its level, its noise, its trend.

Knows no shapes, settings or findings. Values that are not finite are left out: the watch reports them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = tuple[int, float]

NORMAL = 1.4826
"""Standard deviation of normal noise / its median absolute deviation (Rousseeuw and Croux, 1993)."""
_SECOND = math.sqrt(6)
"""Standard deviation of a second difference a - 2b + c of independent noise with standard deviation 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A curve in the order of its steps, one point per step; `steps` and `values` are arrays of the same length."""

    steps: Any
    values: Any

    @classmethod
    def of(cls, points: Iterable[Point]) -> "Series":
        """The finite points, in order; of two at the same step, the later one counts."""
        kept = sorted({int(step): float(value) for step, value in points if math.isfinite(value)}.items())
        return cls(np.array([step for step, _ in kept], int), np.array([value for _, value in kept], float))

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, begin: int, end: int | None = None) -> "Series":
        """The points from index `begin` up to, but not including, `end`."""
        return Series(self.steps[begin:end], self.values[begin:end])

    def since(self, step: int) -> "Series":
        """The points at or after a step."""
        return self.part(int(np.searchsorted(self.steps, step)))

    def until(self, step: int) -> "Series":
        """The points at or before a step."""
        return self.part(0, int(np.searchsorted(self.steps, step, side="right")))

    def smooth(self, width: int) -> Any:
        """Running median over `width` points, fewer at the ends. A single outlier does not affect it."""
        half = width // 2
        return np.array([np.median(self.values[max(0, i - half) : i + half + 1]) for i in range(len(self))])

    def level(self, points: int) -> float:
        """The median of the last `points` points."""
        return float(np.median(self.values[-points:]))

    def noise(self) -> float:
        """Standard deviation of the noise, from second differences: a trend, straight or curved, does not add to it.

        0 with fewer than four points.
        """
        if len(self) < 4:
            return 0.0
        return NORMAL * float(np.median(np.abs(np.diff(self.values, 2)))) / _SECOND

    def rising(self) -> float:
        """One-sided p of the Mann-Kendall test for a rising trend; 1 if nothing can be concluded."""
        return self._trend("greater")

    def falling(self) -> float:
        """One-sided p of the Mann-Kendall test for a falling trend; 1 if nothing can be concluded."""
        return self._trend("less")

    def change(self) -> float:
        """The change from the first step to the last along the curve's Theil-Sen line; 0 for a single point."""
        if len(self) < 2:
            return 0.0
        from scipy.stats import theilslopes  # takes a second, and most importers never need it

        return float(theilslopes(self.values, self.steps).slope) * float(self.steps[-1] - self.steps[0])

    def _trend(self, direction: str) -> float:
        if len(self) < 3 or np.ptp(self.values) == 0:
            return 1.0
        from scipy.stats import kendalltau

        return float(kendalltau(self.steps, self.values, alternative=direction).pvalue)
