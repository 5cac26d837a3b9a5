"""Readers of the training loss: it diverged, left a good region, was thrown up, never moved, or was still falling.

Each reader returns None if it sees nothing, or if there are too few points. Losses are in nats per token.
"""

from dataclasses import dataclass

import numpy as np

from orchestrator.health.curves.advice import faster, gentler, longer, short
from orchestrator.health.curves.reading import Reading, Training
from orchestrator.health.curves.series import Series
from orchestrator.types import Finding

LEAST = 8
"""With fewer points, a training loss is not read: its noise cannot be told from its course."""
NOISE = 5.0
"""Number of standard deviations of the noise that a change must reach to count."""

_RISE = 0.25
"""A loss has left a good region if it lost this share of what it had gained, or doubled: schedules and batches cause
less."""
_RISE_NATS = 0.1
"""... and rose by at least this much: below, a model that has memorized its rows wobbles."""
_GAINED = 0.2
"""A region is good if the loss had fallen by this share of its starting value."""
_UNDONE = 0.8
"""A loss diverged if it lost this share of what it had gained, and ends at this share of its starting value or above
..."""
_UNDONE_NATS = 0.5
"""... and rose by at least this much."""
_STAYS = 0.8
"""Share of the later points that must be high for a rise to be no accident."""

_STILL = 0.05
"""A loss that fell by less than this share has not moved."""
HIGH = 1.0
"""Nats per token above which rows are far from learned: worked solutions end well below it. A loss that starts below
it may be flat because the model already knew the rows."""
_THROWN = 0.2
"""A loss that rose by this share in the first third was thrown up: apart from batch noise, no step should raise it."""
_IN_A_ROW = 3
"""Number of evaluations that are more than an accident."""
_THROWN_END = 0.5
"""... and never came back if it ends above this share of its first point."""
_NONE = 0.05
"""An accuracy that a model without any skill may reach."""
_FADED = 1e-3
"""A gradient with a norm below this hardly reaches the weights: an adapter's is 0.1 to 10 at the start."""

_STEEP = 0.2
"""A loss is still falling steeply if it fell by this share over the last third: a schedule that is long enough leaves
less, since its learning rate decays to zero."""
_LAST = 1 / 3
_SIGNIFICANT = 0.01
"""p below which a trend is believed."""
FAR = 0.25
"""If accuracy ever exceeded this, answers were learned: there are limits to what rows teach."""
_LEARNED = 0.1
"""Nats per token below which further training only memorizes rows."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a training loss without its noise."""

    start: float
    best: float
    """The lowest level, at index `at`."""
    at: int
    left: int
    """Index of the last point near the best: a rise starts after it."""
    end: float
    noise: float

    @property
    def gained(self) -> float:
        """How far the loss fell."""
        return self.start - self.best

    @property
    def lost(self) -> float:
        """How far it had risen again by the end."""
        return self.end - self.best


def course(loss: Series) -> Course | None:
    """The course of a loss; None if there are too few points."""
    if len(loss) < LEAST:
        return None
    smooth = loss.smooth(_width(loss))
    at = int(np.argmin(smooth))
    end = loss.level(_width(loss))
    low = float(smooth[at])
    near = np.flatnonzero(smooth <= low + _RISE * max(end - low, 0.0))
    return Course(float(max(loss.values[0], smooth[0])), low, at, int(near[-1]), end, loss.noise())


def diverged(training: Training) -> Reading | None:
    """The loss ends near its starting value, or above it."""
    loss, grad = training["loss"], training["grad_norm"]
    c = course(loss)
    if c is None or not _stays_up(loss, c):
        return None
    if c.lost < max(_UNDONE * c.gained, _UNDONE_NATS, NOISE * c.noise) or c.end < _UNDONE * c.start:
        return None
    step = int(loss.steps[c.left])
    return Reading(
        Finding(
            "loss-too-high",
            "warning" if training.hands_on_best else "error",
            f"the loss diverged after step {step}: it ends at {c.end:.2f}, having started at {c.start:.2f}",
            f"lowest {c.best:.2f} at step {loss.steps[c.at]}{logged_at(training, step)}",
            "the steps are so large that each undoes what the previous one learned",
            gentler(training.settings, grad, divisor=10, known=_rate(training, c)),
        ),
        "loss",
        (step,),
    )


def unstable(training: Training) -> Reading | None:
    """The loss, and the evaluation loss if there is one, rise after a good region and stay up."""
    loss, evaluated, grad = training["loss"], training["eval_loss"], training["grad_norm"]
    c = course(loss)
    if c is None or c.gained < _GAINED * c.start or not _stays_up(loss, c):
        return None
    if c.lost < max(min(_RISE * c.gained, c.best), _RISE_NATS, NOISE * c.noise):
        return None
    step = int(loss.steps[c.left])
    seen, which = f"training loss {c.best:.2f} at step {loss.steps[c.at]}, {c.end:.2f} at the end", "training loss"
    if len(evaluated) >= _IN_A_ROW:
        low = int(np.argmin(evaluated.values))
        rise = evaluated.level(2) - float(evaluated.values[low])
        if rise < _RISE * c.lost:
            return None  # harder to fit, but no worse to evaluate: the batches changed, not the model
        seen += f"\nevaluation loss {evaluated.values[low]:.2f} at step {evaluated.steps[low]}, "
        seen += f"{evaluated.level(2):.2f} at the end"
        which = "training and evaluation loss"
    return Reading(
        Finding(
            "training-unstable",
            "warning",
            f"after step {step} the {which} rose again and stayed up",
            seen + logged_at(training, step),
            "the optimizer left the good region it had found: the learning rate is too high there, and nothing held "
            "back a large gradient",
            gentler(training.settings, grad, divisor=3, known=_rate(training, c)),
        ),
        "loss",
        (step,),
    )


def still(training: Training) -> Reading | None:
    """The loss never moved, and the rows are far from learned."""
    loss, accuracy, grad = training["loss"], training["eval_accuracy"], training["grad_norm"]
    c = course(loss)
    if c is None or c.end < HIGH or abs(c.start - c.end) > _STILL * c.start or c.gained > 2 * _STILL * c.start:
        return None
    if c.noise > _STILL * c.start or float(np.max(accuracy.values, initial=0.0)) > _NONE:
        return None  # it may have moved within its noise, or the model could answer before
    faded = len(grad) >= LEAST and grad.level(len(grad)) < _FADED
    return Reading(
        Finding(
            "nothing-learned",
            "error",
            f"the loss stayed at {c.end:.2f} from the first step to the last",
            f"{c.start:.3f} at the start, {c.end:.3f} at the end, {len(loss)} points"
            + logged_at(training, int(loss.steps[0])),
            "the gradient hardly reaches the adapter" if faded else "the steps are too small to move the weights",
            "check lora.target_modules and the adapter that training starts from"
            if faded
            else f"set {faster(training.settings)}",
        ),
        "loss",
        (int(loss.steps[0]), int(loss.steps[-1])),
    )


def thrown(training: Training) -> Reading | None:
    """The first steps destroyed what the model knew, and it never came back to a low loss."""
    loss, accuracy = training["loss"], training["eval_accuracy"]
    c = course(loss)
    if c is None or c.end < HIGH or len(accuracy) < _IN_A_ROW or float(np.max(accuracy.values)) > _NONE:
        return None
    peak = int(np.argmax(loss.values[: max(2, len(loss) // 3)]))
    first, rise = float(loss.values[0]), float(loss.values[peak] - loss.values[0])
    if rise < max(_THROWN * first, NOISE * c.noise) or c.end < _THROWN_END * first:
        return None
    step = int(loss.steps[peak])
    return Reading(
        Finding(
            "nothing-learned",
            "error",
            f"the loss rose at once, to {loss.values[peak]:.2f} at step {step}, and is still {c.end:.2f} at the end",
            f"{first:.2f} at step {loss.steps[0]}, {len(loss)} points" + logged_at(training, step),
            "the first steps were so large that they destroyed what the base model knew",
            gentler(training.settings, training["grad_norm"], divisor=10),
        ),
        "loss",
        (step,),
    )


def too_short(training: Training) -> Reading | None:
    """The loss, and the evaluation loss if there is one, was still falling steeply at the end."""
    loss, evaluated, accuracy = training["loss"], training["eval_loss"], training["eval_accuracy"]
    c = course(loss)
    if c is None or c.end < _LEARNED:
        return None
    last = loss.since(int(loss.steps[-1] - _LAST * (loss.steps[-1] - loss.steps[0])))
    fell = -last.change()
    if last.falling() > _SIGNIFICANT or fell < max(_STEEP * (c.end + fell), NOISE * c.noise):
        return None
    if -last.part(len(last) // 2).change() < _STEEP / 4 * fell:
        return None  # it fell in one step, as at the end of an epoch, and has been flat since
    if len(evaluated) >= _IN_A_ROW and evaluated.values[-1] > np.min(evaluated.values):
        return None
    before = float(np.max(accuracy.until(int(last.steps[0])).values, initial=0.0))
    if before > FAR and accuracy.values[-1] <= before:
        return None  # whatever it still learns, it is not the answers
    return Reading(
        Finding(
            "too-short",
            "warning",
            f"the loss was still falling steeply when training ended at step {loss.steps[-1]}",
            f"{c.end + fell:.2f} at step {last.steps[0]}, {c.end:.2f} at the end: "
            f"{fell / (c.end + fell):.0%} less over the last third",
            "the training is too short for what there is to learn at this learning rate",
            f"set {longer(training.settings, training['epoch'], 2)}",
        ),
        "loss",
        (int(last.steps[0]), int(loss.steps[-1])),
    )


def _width(loss: Series) -> int:
    """Number of points of the running median: a tenth of the curve, at least three."""
    return max(3, len(loss) // 10 | 1)


def _stays_up(loss: Series, c: Course) -> bool:
    after = loss.values[c.left + 1 :]
    return len(after) >= _width(loss) and float(np.mean(after > c.best + _RISE * c.lost)) >= _STAYS


def logged_at(training: Training, step: int) -> str:
    """Learning rate and gradient norm as last logged up to a step."""
    said = ""
    for name in ("learning_rate", "grad_norm"):
        known = training[name].until(step)
        if len(known):
            said += f", {name} {short(float(known.values[-1]))}"
    return said + f" at step {step}" if said else ""


def _rate(training: Training, c: Course) -> float | None:
    """The learning rate at which the loss was lowest, if it was logged: it was not too high."""
    known = training["learning_rate"].until(int(training["loss"].steps[c.at]))
    return float(known.values[-1]) if len(known) else None
