"""A training's curves as a figure: inline SVG in the page's own colors, with the findings' steps marked.

Uses matplotlib without pyplot and its global state. Knows neither the store nor what makes a curve bad.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.curves.series import Series
from orchestrator.report.html import shown
from orchestrator.stages import verb_of

_LABELS = {"loss": "training", "eval_loss": "evaluation", "reward": "reward", "eval_accuracy": "held-out accuracy"}


@dataclass(frozen=True, slots=True)
class Inks:
    """The color of each element."""

    ink: str
    soft: str
    train: str
    held_out: str
    mark: str


PRINT = Inks("#1b1f24", "#d1d9e0", "#0969da", "#bc4c00", "#b42318")
"""On a white background."""
_STAND_INS = Inks("#010101", "#020202", "#030303", "#040404", "#050505")
_COLOURS = {
    _STAND_INS.ink: f"var(--ink, {PRINT.ink})",
    _STAND_INS.soft: f"var(--line, {PRINT.soft})",
    _STAND_INS.train: f"var(--train, {PRINT.train})",
    _STAND_INS.held_out: f"var(--held-out, {PRINT.held_out})",
    _STAND_INS.mark: f"var(--error, {PRINT.mark})",
}
"""Elements drawn in a stand-in get the page's color, light or dark; outside a page, the color given here."""
_LEAST = 2
"""Minimum number of points for a line."""
_WIDTH, _HEIGHT = 4.6, 2.3
"""Inches: the figure's width, which is readable on a phone, and the height of each panel."""
_LOGARITHMIC = 30.0
"""A loss that spans more than this factor gets a logarithmic axis; otherwise its end would lie flat at the bottom."""


def curve_figure(curves: StageCurves) -> str | None:
    """The figure as one `<svg>` element; None if no curve of the stage has two points.

    The number of each mark is the position of its finding in `curves.readings`, starting at 1.
    """
    panels = panels_of(curves)
    if not panels:
        return None
    settings = {"svg.fonttype": "none", "svg.hashsalt": curves.stage, "font.size": 9.0, "font.family": "sans-serif"}
    with rc_context(settings):
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(panels)), layout="constrained")
        figure.patch.set_visible(False)
        axes: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (label, series) in zip(axes, panels, strict=True):
            draw_panel(axis, label, series, curves, _STAND_INS)
        axes[-1].set_xlabel("step", color=_STAND_INS.ink)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), curves)


def panels_of(curves: StageCurves) -> list[tuple[str, dict[str, Series]]]:
    """The panels of a stage, each with its axis label and its curves; none if no curve has two points."""
    series = {name: Series.of(points) for name, points in curves.curves.items()}
    drawn = {name: one for name, one in series.items() if len(one) >= _LEAST}
    panels = [(label, {n: drawn[n] for n in names if n in drawn}) for label, names in _panels(curves)]
    return [(label, found) for label, found in panels if found]


def draw_panel(axis: Axes, label: str, series: Mapping[str, Series], curves: StageCurves, inks: Inks) -> None:
    """Draw one panel: its curves, the findings' steps, and the selected checkpoint."""
    axis.patch.set_visible(False)
    axis.set_ylabel(label, color=inks.ink)
    axis.tick_params(colors=inks.ink)
    axis.grid(color=inks.soft, linewidth=0.6)
    for side in axis.spines.values():
        side.set_color(inks.soft)
    for name, curve in series.items():
        if name in ("loss", "reward"):
            axis.plot(curve.steps, curve.values, color=inks.train, linewidth=1.4, label=_LABELS[name])
        else:  # distinguished by more than color
            look: Any = {"color": inks.held_out, "linewidth": 1.4, "markersize": 3.5}
            axis.plot(curve.steps, curve.values, "o--", label=_LABELS[name], **look)
            here = curve.steps == curves.chosen
            ring: Any = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": inks.ink, "linestyle": "none"}
            if here.any():
                axis.plot(curve.steps[here], curve.values[here], "o", label=f"chosen: step {curves.chosen}", **ring)
    values = [float(value) for curve in series.values() for value in curve.values]
    if "loss" in series and min(values) > 0 and max(values) > _LOGARITHMIC * min(values):
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    marks: dict[int, list[str]] = {}
    for number, reading in enumerate(curves.readings, 1):
        if reading.curve in series:
            for step in reading.steps:
                marks.setdefault(step, []).append(str(number))
    for step, numbers in marks.items():
        axis.axvline(step, color=inks.mark, linestyle=":", linewidth=1.4)
        axis.annotate(
            ", ".join(numbers),
            (step, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=inks.mark,
            fontweight="bold",
        )
    axis.legend(frameon=False, labelcolor=inks.ink, loc="best")


def _panels(curves: StageCurves) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The panels that the stage's verb defines: for each, the axis label and the names of the curves."""
    verb = verb_of(curves.verb)
    return () if verb is None else verb.PANELS


def title(curves: StageCurves) -> str:
    """A description of the figure in words, for those who cannot see it."""
    words = [f"Curves of stage {curves.stage}"]
    drawn = {name for _, names in _panels(curves) for name in names}
    for name, label in _LABELS.items():
        points: Any = curves.curves.get(name, ())
        if len(points) >= _LEAST and name in drawn:
            what = f"{label} loss" if "loss" in name else label
            (first, begin), (last, end) = points[0], points[-1]
            words.append(f"{what} from {begin:.3g} at step {first} to {end:.3g} at {last}")
    if curves.chosen is not None:
        words.append(f"the model of step {curves.chosen} was chosen")
    words += [f"{number}, {reading.finding.what}" for number, reading in enumerate(curves.readings, 1)]
    return "; ".join(words)


def _inline(document: str, curves: StageCurves) -> str:
    """The `<svg>` element of a document, with the page's colors, unique ids, and a title for screen readers."""
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    own = f"curves-{hashlib.sha256(curves.stage.encode(errors='replace')).hexdigest()[:8]}-"
    svg = re.sub(r'\bid="', f'id="{own}', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}", svg)
    head, _, rest = svg.partition(">")
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    named = f' role="img" aria-labelledby="{own}title"'
    return f'{head}{named}><title id="{own}title">{escape(shown(title(curves)))}</title>{rest}'
