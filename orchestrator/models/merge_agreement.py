"""How well written weights agree with the model that they were made of, and how well they must.

Figures alone: it knows neither models nor files.
"""

from dataclasses import dataclass

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""How far logits may be off, as a ratio of root mean squares, by the coarser of the two dtypes compared."""
LOST = 0.5
"""The share of an adapter's own effect on the logits that may be missed; more of it is lost in rounding."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Logits of written weights against those of the model itself."""

    questions: int
    off: float
    """Root mean square of the difference, as a share of that of the logits."""
    lost: float | None
    """The same, as a share of the adapter's own effect; None where there is no adapter."""
    dtype: str
    """The coarser of the dtypes that were compared."""

    @property
    def tolerance(self) -> float:
        """What `off` may be."""
        return TOLERANCE[self.dtype]

    @property
    def holds(self) -> bool:
        """False also where anything is not finite."""
        return self.off <= self.tolerance and (self.lost is None or self.lost <= LOST)
