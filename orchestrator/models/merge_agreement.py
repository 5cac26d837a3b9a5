"""How well written weights agree with the model they came from, and how well they must.

Figures only: it knows neither models nor files.
"""

from dataclasses import dataclass

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Allowed error of logits, as a ratio of root mean squares, by the coarser of the two dtypes compared."""
LOST = 0.5
"""The share of an adapter's effect on the logits that may be missing; a larger share means it was lost in rounding."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Logits of written weights compared with those of the model itself."""

    questions: int
    off: float
    """Root mean square of the difference, relative to that of the logits."""
    lost: float | None
    """The same, relative to the adapter's own effect; None if there is no adapter."""
    dtype: str
    """The coarser of the dtypes compared."""

    @property
    def tolerance(self) -> float:
        """The maximum of `off`."""
        return TOLERANCE[self.dtype]

    @property
    def holds(self) -> bool:
        """Whether the weights agree well enough; False also if a figure is not finite."""
        return self.off <= self.tolerance and (self.lost is None or self.lost <= LOST)
