"""The colors of models and of question flows: the same everywhere, and distinguishable for the color-blind.

Each has a shade for light and one for dark backgrounds. Color is never the only cue: names and numbers accompany it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.types import BASE


@dataclass(frozen=True, slots=True)
class Shade:
    """One color, as `#rrggbb`."""

    light: str
    """On a light background, and in figures for print."""
    dark: str


GREY = Shade("#6e7781", "#9198a1")
MODELS = (
    Shade("#c2620a", "#f0a04b"),
    Shade("#0072b2", "#56b4e9"),
    Shade("#14532d", "#b9f6b0"),
    Shade("#9333ea", "#c04dff"),
    Shade("#b78565", "#f2e230"),
    Shade("#2801a5", "#d04849"),
)
"""For trained models, in order: a contrast of 3:1 to the background, and distinct for every kind of color blindness."""
FIXED = Shade("#04504a", "#5eead4")
BROKEN = Shade("#dc2626", "#ff4d6d")
"""For questions that were fixed and that were broken; unchanged ones are gray."""


def model_colours(labels: Sequence[str]) -> dict[str, Shade]:
    """A color for each model: gray for the base model, then `MODELS` in order, repeated if necessary."""
    trained = [label for label in labels if label != BASE]
    return {label: MODELS[trained.index(label) % len(MODELS)] if label in trained else GREY for label in labels}
