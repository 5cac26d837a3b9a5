"""A training's curves as a figure: SVG for inside a page, in the page's own colours, with the findings' steps marked.

Draws with matplotlib, without pyplot and its global state. Knows neither a store nor what makes a curve a bad one.
"""

import io
import re
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.health.curve_reading import StageCurves
from orchestrator.health.curve_series import Series
from orchestrator.report.page import shown

_PANELS = {
    "sft": (("loss, nats per token", ("loss", "eval_loss")), ("held-out accuracy", ("eval_accuracy",))),
    "grpo": (("reward, accuracy", ("reward", "eval_accuracy")),),
}
"""What is drawn for each verb: a panel's axis and its curves. The loss of GRPO says nothing."""
_LABELS = {"loss": "training", "eval_loss": "evaluation", "reward": "reward", "eval_accuracy": "held-out accuracy"}
_INK, _SOFT, _TRAIN, _HELD_OUT, _MARK = "#010101", "#020202", "#030303", "#040404", "#050505"
_COLOURS = {
    _INK: "var(--ink, #1b1f24)",
    _SOFT: "var(--line, #d1d9e0)",
    _TRAIN: "var(--train, #0969da)",
    _HELD_OUT: "var(--held-out, #bc4c00)",
    _MARK: "var(--error, #b42318)",
}
"""What is drawn in a stand-in takes the page's colour, light or dark; without a page, the one given."""
_LEAST = 2
"""Points that make a line."""
_WIDTH, _HEIGHT = 7.2, 2.3
"""Inches; each panel is so high."""
_LOGARITHMIC = 30.0
"""A loss that spans more than this factor is drawn on a logarithmic axis: the end would lie on the floor."""


def curve_figure(curves: StageCurves) -> str | None:
    """The figure as one `<svg>` element; None where no curve of the stage has two points.

    Each mark's number is that of its finding in `curves.readings`, counted from 1.
    """
    series = {name: Series.of(points) for name, points in curves.curves.items()}
    panels = [
        (label, [name for name in names if name in series and len(series[name]) >= _LEAST])
        for label, names in _PANELS.get(curves.verb, ())
    ]
    panels = [(label, names) for label, names in panels if names]
    if not panels:
        return None
    settings = {"svg.fonttype": "none", "svg.hashsalt": curves.stage, "font.size": 9.0, "font.family": "sans-serif"}
    with rc_context(settings):
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(panels)), layout="constrained")
        figure.patch.set_visible(False)
        axes: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (label, names) in zip(axes, panels, strict=True):
            _panel(axis, label, {name: series[name] for name in names}, curves)
        axes[-1].set_xlabel("step", color=_INK)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), curves)


def _panel(axis: Axes, label: str, series: dict[str, Series], curves: StageCurves) -> None:
    axis.patch.set_visible(False)
    axis.set_ylabel(label, color=_INK)
    axis.tick_params(colors=_INK)
    axis.grid(color=_SOFT, linewidth=0.6)
    for side in axis.spines.values():
        side.set_color(_SOFT)
    for name, curve in series.items():
        if name in ("loss", "reward"):
            axis.plot(curve.steps, curve.values, color=_TRAIN, linewidth=1.4, label=_LABELS[name])
        else:  # told apart by more than a colour
            look: Any = {"color": _HELD_OUT, "linewidth": 1.4, "markersize": 3.5}
            axis.plot(curve.steps, curve.values, "o--", label=_LABELS[name], **look)
            here = curve.steps == curves.chosen
            ring: Any = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": _INK, "linestyle": "none"}
            if here.any():
                axis.plot(curve.steps[here], curve.values[here], "o", label=f"chosen: step {curves.chosen}", **ring)
    values = [float(value) for curve in series.values() for value in curve.values]
    if "loss" in series and min(values) > 0 and max(values) > _LOGARITHMIC * min(values):
        axis.set_yscale("log")
    marks: dict[int, list[str]] = {}
    for number, reading in enumerate(curves.readings, 1):
        if reading.curve in series:
            for step in reading.steps:
                marks.setdefault(step, []).append(str(number))
    for step, numbers in marks.items():
        axis.axvline(step, color=_MARK, linestyle=":", linewidth=1.4)
        axis.annotate(
            ", ".join(numbers),
            (step, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=_MARK,
            fontweight="bold",
        )
    axis.legend(frameon=False, labelcolor=_INK, loc="best")


def title(curves: StageCurves) -> str:
    """What the figure shows, in words, for who cannot see it."""
    words = [f"Curves of stage {curves.stage}"]
    for name, label in _LABELS.items():
        points: Any = curves.curves.get(name, ())
        if len(points) >= _LEAST and (name, curves.verb) != ("loss", "grpo"):
            what = f"{label} loss" if "loss" in name else label
            (first, begin), (last, end) = points[0], points[-1]
            words.append(f"{what} from {begin:.3g} at step {first} to {end:.3g} at {last}")
    if curves.chosen is not None:
        words.append(f"chosen was the model of step {curves.chosen}")
    words += [f"{number}, {reading.finding.what}" for number, reading in enumerate(curves.readings, 1)]
    return "; ".join(words)


def _inline(document: str, curves: StageCurves) -> str:
    """The `<svg>` element of a document, with colours of the page, ids of its own and a title that is read out."""
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    own = f"curves-{curves.stage}-"
    svg = re.sub(r'\bid="', f'id="{own}', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}", svg)
    head, _, rest = svg.partition(">")
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    named = f' role="img" aria-labelledby="{own}title"'
    return f'{head}{named}><title id="{own}title">{escape(shown(title(curves)))}</title>{rest}'
