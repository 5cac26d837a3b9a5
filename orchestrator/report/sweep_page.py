"""A sweep as one HTML page: the proposed trial and how certain it is, all trials, and the effect of each setting.

Figures are SVG in the page's own colors. The page needs no network, no script and no other file.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.figures import interval, p_value, points, value_text
from orchestrator.report.html import environment
from orchestrator.results import SweepResult, TrialResult
from orchestrator.sweeps.words import FEW, distinct, rank

_WIDTH, _HEIGHT, _SIDE, _EDGE = 700, 260, 80, 46
"""Parallel coordinates: width and height, and the margins beside and above them, in drawing units."""
_SLICE, _LEFT, _TOP, _FOOT = 220, 40, 10, 34
"""A slice: its width and height, and the margins around it."""
_LOGARITHMIC = 20.0
"""Numbers that span more than this factor get a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of a setting or of the metric: it places values between 0 and 1."""

    name: str
    title: str
    ticks: tuple[tuple[float, str], ...]
    place: Callable[[Any], float]


def sweep_page(result: SweepResult, recipe_text: str) -> str:
    """The complete page."""
    complete = [trial for trial in result.trials if trial.value is not None]
    names = list(result.trials[0].label) if result.trials else []
    titles = distinct(names)
    axes = [_axis(name, titles[name], [trial.label[name] for trial in result.trials]) for name in names]
    values = [end for trial in complete for end in (trial.low, trial.high) if end is not None]
    values += [trial.value for trial in complete if trial.value is not None]
    metric = _metric_axis(result.metric["name"], values)
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            r=result,
            order=sorted(result.trials, key=rank),
            titles=titles,
            text=value_text,
            p=p_value,
            points=points,
            interval=interval,
            metric=metric,
            lines=_parallel(complete, axes, metric),
            axes=[*axes, metric],
            slices=[(axis, [_dot(trial, axis, metric) for trial in complete]) for axis in axes],
            few=len(complete) < FEW,
            width=_WIDTH,
            height=_HEIGHT,
            side=_SIDE,
            edge=_EDGE,
            slice=_SLICE,
            left=_LEFT,
            top=_TOP,
            foot=_FOOT,
            gpus=any(trial.gpu_hours for trial in result.trials),
            recipe_text=recipe_text,
            policy="default-src 'none'; style-src 'unsafe-inline'; img-src data:",
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


def _axis(name: str, title: str, values: Sequence[Any]) -> Axis:
    """Numbers to scale, logarithmic if they span a wide range; anything else evenly spaced."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _number_axis(name, title, sorted(set(map(float, values))))
    texts = list(dict.fromkeys(map(value_text, values)))
    places = {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}
    return Axis(name, title, tuple((at, text) for text, at in places.items()), lambda value: places[value_text(value)])


def _number_axis(name: str, title: str, values: Sequence[float]) -> Axis:
    low, high = values[0], values[-1]
    logarithmic = low > 0 and high > _LOGARITHMIC * low
    scale: Callable[[float], float] = math.log if logarithmic else float
    span = scale(high) - scale(low)

    def place(value: Any) -> float:
        return 0.5 if not span else (scale(float(value)) - scale(low)) / span

    shown = (
        values if len(values) <= 5 else [low, *([math.sqrt(low * high)] if logarithmic else [(low + high) / 2]), high]
    )
    return Axis(name, title, tuple((place(value), value_text(value)) for value in shown), place)


def _metric_axis(name: str, values: Sequence[float]) -> Axis:
    """From the lowest end of an interval to the highest, rounded outward to tenths."""
    low = math.floor(10 * min(values, default=0.0)) / 10
    high = max(math.ceil(10 * max(values, default=1.0)) / 10, low + 0.1)
    ticks = tuple(
        ((low + i * (high - low) / 2 - low) / (high - low), f"{low + i * (high - low) / 2:.2f}") for i in range(3)
    )
    return Axis(name, name, ticks, lambda value: (float(value) - low) / (high - low))


def _parallel(trials: Sequence[TrialResult], axes: Sequence[Axis], metric: Axis) -> list[dict[str, Any]]:
    """A line for each trial, the worst first, so that the best are drawn on top."""
    across = [*axes, metric]
    step = (_WIDTH - 2 * _SIDE) / max(1, len(across) - 1)
    made = []
    for trial in sorted(trials, key=lambda t: (t.tied, t.value or 0.0)):
        places = [axis.place(trial.label[axis.name]) for axis in axes] + [metric.place(trial.value)]
        corners = [f"{_SIDE + i * step:.1f},{_down(place):.1f}" for i, place in enumerate(places)]
        made.append({"number": trial.number, "tied": trial.tied, "points": " ".join(corners)})
    return made


def _down(place: float) -> float:
    return _EDGE + (1 - place) * (_HEIGHT - 2 * _EDGE)


def _dot(trial: TrialResult, axis: Axis, metric: Axis) -> dict[str, Any]:
    """A trial in a slice: its setting on the horizontal axis, its accuracy on the vertical one."""
    assert trial.value is not None
    return {
        "number": trial.number,
        "tied": trial.tied,
        "x": round(_LEFT + axis.place(trial.label[axis.name]) * (_SLICE - 2 * _LEFT), 1),
        "y": round(_TOP + (1 - metric.place(trial.value)) * (_SLICE - _TOP - _FOOT), 1),
    }
