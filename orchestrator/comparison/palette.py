"""The colours of models and of question flows: the same everywhere, told apart by the colour-blind.

Each has a shade for light paper and one for dark. Colour is never the only sign: names and numbers stand beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.types import BASE


@dataclass(frozen=True, slots=True)
class Shade:
    """One colour, as `#rrggbb`."""

    light: str
    """On light paper, and in figures for print."""
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
"""For trained models, in turn: a contrast of 3:1 to the paper, and apart for every kind of colour-blindness."""
FIXED = Shade("#04504a", "#5eead4")
BROKEN = Shade("#dc2626", "#ff4d6d")
"""For questions that were fixed, and that were broken; what stayed as it was is grey."""


def model_colours(labels: Sequence[str]) -> dict[str, Shade]:
    """A colour for each model: grey for the base, the others in turn."""
    trained = [label for label in labels if label != BASE]
    return {label: MODELS[trained.index(label) % len(MODELS)] if label in trained else GREY for label in labels}
