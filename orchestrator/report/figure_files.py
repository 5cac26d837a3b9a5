"""A run's figures as files for a paper or a slide: PNG at 300 dots per inch, and SVG. For a white background.

Uses matplotlib without pyplot and its global state. The same run yields the same files.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator

from orchestrator.comparison import ComparedModel
from orchestrator.comparison.palette import BROKEN, FIXED, GREY, model_colours
from orchestrator.health.curves.reading import StageCurves
from orchestrator.report.curve_figure import PRINT, draw_panel, panels_of
from orchestrator.report.facts import About, RunFacts, Sampling, SeedsFacts
from orchestrator.report.flow import Flow, first_pair, flow
from orchestrator.report.flow_shape import Ribbon, bars, ribbons

_STYLE = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "orch",
    "savefig.dpi": 300,
    "text.parse_math": False,
}
_INK, _LINE = "#1b1f24", "#d1d9e0"
_WIDTH = 4.8
"""Inches: one and a half columns of a paper."""
_FILLS = {
    "fixed": (FIXED.light, 0.85),
    "broken": (BROKEN.light, 0.85),
    "kept": (GREY.light, 0.4),
    "missed": (GREY.light, 0.2),
}
_WORDS = {"fixed": "fixed", "broken": "broken", "kept": "both right", "missed": "both wrong"}
_THIN = 0.07
"""A ribbon of less than this share of the height is too thin to contain its label."""


def write_figures(facts: RunFacts, folder: Path) -> None:
    """Write `accuracy`, `flow`, `curves` and `sampling`, each as .png and .svg, if the run has the data for it."""
    pair = first_pair(facts.recipe, facts.labels)
    colours = _colours(facts)
    drawn: dict[str, Callable[[], Figure]] = {"accuracy": lambda: accuracy_figure(facts.comparison.models, colours)}
    if pair is not None:
        drawn["flow"] = lambda: flow_figure(flow(facts.asked, *pair), colours)
    if any(panels_of(training.curves) for training in facts.trainings):
        drawn["curves"] = lambda: curves_figure([training.curves for training in facts.trainings])
    if facts.samplings:
        drawn["sampling"] = lambda: sampling_figure(facts.samplings[0])
    _write(drawn, folder)


def write_seeds_figures(facts: SeedsFacts, folder: Path) -> None:
    """Write `accuracy` for several seeds, as .png and .svg."""
    _write({"accuracy": lambda: accuracy_figure(facts.comparison.models, _colours(facts))}, folder)


def _colours(facts: About) -> dict[str, str]:
    return {label: shade.light for label, shade in model_colours(facts.labels).items()}


def _write(drawn: Mapping[str, Callable[[], Figure]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(_STYLE):
        for name, draw in drawn.items():
            figure = draw()
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # keep the layout of the SVG
            figure.savefig(folder / f"{name}.png")


def accuracy_figure(models: tuple[ComparedModel, ...], colours: dict[str, str]) -> Figure:
    """A bar with a 95% interval for each model, and a point for each seed if there are several."""
    figure = Figure(figsize=(_WIDTH, 0.7 + 0.42 * len(models)), layout="constrained")
    axis = figure.subplots()
    places = range(len(models))
    values = [100 * m.accuracy for m in models]
    ends = [
        [100 * (m.accuracy - m.accuracy_low) for m in models],
        [100 * (m.accuracy_high - m.accuracy) for m in models],
    ]
    axis.barh(places, values, height=0.62, color=[colours[m.label] for m in models])
    axis.errorbar(values, places, xerr=ends, fmt="none", ecolor=_INK, elinewidth=1.2, capsize=3)
    for place, m in enumerate(models):
        if len(m.by_seed) > 1:
            look: Any = {"ms": 4, "mfc": "white", "mec": _INK, "mew": 0.9}
            axis.plot([100 * a for a in m.by_seed], [place] * len(m.by_seed), "o", **look)
        axis.text(101.5, place, f"{100 * m.accuracy:.1f}", va="center")
    axis.set_yticks(places, [m.label for m in models])
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel(f"accuracy, % of {models[0].n:,} questions (95% intervals)")
    axis.grid(axis="x", color=_LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    return figure


def flow_figure(flow: Flow, colours: dict[str, str]) -> Figure:
    """How the result of each question changes from one model to another."""
    figure = Figure(figsize=(_WIDTH, 2.9), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(-0.42, 1.42), ylim=(1.02, -0.1))
    axis.axis("off")
    codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3]
    for ribbon in ribbons(flow):
        colour, alpha = _FILLS[ribbon.kind]
        axis.add_patch(PathPatch(Outline(ribbon.curve, codes), facecolor=colour, alpha=alpha, linewidth=0))
        _note(axis, ribbon, flow)
    for bar in bars(flow):
        label = flow.after if bar.after else flow.before
        corner = (1.0 if bar.after else -0.05, bar.top)
        alpha = 1.0 if bar.right else 0.35
        axis.add_patch(Rectangle(corner, 0.05, bar.bottom - bar.top, color=colours[label], alpha=alpha, linewidth=0))
        text = f"{bar.count:,} {'right' if bar.right else 'wrong'}"
        where = (1.08 if bar.after else -0.08, (bar.top + bar.bottom) / 2)
        axis.text(*where, text, ha="left" if bar.after else "right", va="center")
    axis.text(-0.05, -0.05, flow.before, ha="left", va="center", fontweight="bold")
    axis.text(1.05, -0.05, flow.after, ha="right", va="center", fontweight="bold")
    return figure


def curves_figure(stages: Sequence[StageCurves]) -> Figure:
    """The curves of each training, two panels per row."""
    panels = [(curves, label, series) for curves in stages for label, series in panels_of(curves)]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_WIDTH if columns == 1 else 1.5 * _WIDTH, 2.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (curves, label, series) in zip(axes, panels, strict=False):
        draw_panel(axis, label, series, curves, PRINT)
        axis.set_title(curves.stage, loc="left", fontsize=9, fontweight="bold", pad=10)
        axis.set_xlabel("step")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def sampling_figure(sampling: Sampling) -> Figure:
    """The number of training questions for each number of correct draws."""
    figure = Figure(figsize=(_WIDTH, 2.3), layout="constrained")
    axis = figure.subplots()
    counts = Counter(sampling.right.values())
    axis.bar(range(sampling.draws + 1), [counts[n] for n in range(sampling.draws + 1)], color=GREY.light, width=0.8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel(f"correct draws of {sampling.draws} ({sampling.model}, temperature {sampling.temperature:g})")
    axis.set_ylabel("training questions")
    axis.grid(axis="y", color=_LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    return figure


def _note(axis: Axes, ribbon: Ribbon, flow: Flow) -> None:
    """Label a ribbon: `fixed` at its left end and `broken` at its right end, since the two cross in the middle."""
    text = f"{flow.count(ribbon.kind):,} {_WORDS[ribbon.kind]}"
    look: dict[str, Any] = {"ha": "center", "va": "center"}
    if ribbon.kind in ("kept", "missed"):
        axis.text(0.5, (sum(ribbon.left) + sum(ribbon.right)) / 4, text, color=_INK, **look)
        return
    x, ends = (0.2, ribbon.left) if ribbon.kind == "fixed" else (0.8, ribbon.right)
    thin = ends[1] - ends[0] < _THIN
    if thin:
        look |= {
            "color": _FILLS[ribbon.kind][0],
            "bbox": {"facecolor": "white", "linewidth": 0, "pad": 0.8, "alpha": 0.8},
        }
    axis.text(x, sum(ends) / 2, text, **{"color": "white"} | look)
