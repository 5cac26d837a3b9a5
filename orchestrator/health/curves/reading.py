"""Input and output of the curve readers: one training's curves with its settings, and findings with their steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.health.curves.advice import Settings
from orchestrator.health.curves.series import Point, Series
from orchestrator.types import Finding

Curves = Mapping[str, Sequence[Point]]
"""Curves by the names they are logged under, each a sequence of points (step, value)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A finding about a curve, and where on it to look."""

    finding: Finding
    curve: str
    """The curve it was seen on."""
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StageCurves:
    """A stage's curves with the readings from them: everything a figure needs."""

    stage: str
    verb: str
    curves: Curves
    readings: tuple[Reading, ...]
    chosen: int | None = None
    """The selected step, if there was a choice."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training as the readers see it."""

    curves: Mapping[str, Series]
    settings: Settings

    @classmethod
    def of(cls, curves: Curves, settings: Mapping[str, Any], place: str = "") -> "Training":
        """From curves as they were logged, and settings from a place in the recipe, such as `stages.rft.`."""
        return cls({name: Series.of(points) for name, points in curves.items()}, Settings(settings, place))

    @property
    def hands_on_best(self) -> bool:
        """Whether the resulting model is that of the best validated step, not that of the last."""
        return bool(self.settings.below("validation").get("select", "last") != "last")

    def chance(self, accuracy: float) -> float:
        """Standard deviation of a measured accuracy due to the choice of questions; 0 if their number is unknown."""
        asked = self.settings.below("validation").get("questions")
        return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / asked) if asked else 0.0

    def __getitem__(self, name: str) -> Series:
        """A curve; empty if it was not logged."""
        return self.curves.get(name) or Series.of(())
