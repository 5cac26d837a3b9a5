"""Reads the curves of a training that is over for shapes a person would see on the chart, and advises on each.

If several shapes fit, the first cause is reported: a training that diverged is not also too short. Knows no store and
no figure: curves and settings go in, findings with their steps come out.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator.health.curves import evaluation as curve_evaluation
from orchestrator.health.curves import loss as curve_loss
from orchestrator.health.curves.reading import Curves, Reading, Training
from orchestrator.health.curves.spikes import spikes

NAMES = (
    "loss",
    "eval_loss",
    "eval_accuracy",
    "grad_norm",
    "learning_rate",
    "reward",
    "epoch",
)
"""The curves that are read, by the names they are logged under."""


def read_curves(
    headline: str, curves: Curves, settings: Mapping[str, Any], place: str = "", ended: bool = True
) -> tuple[Reading, ...]:
    """Findings from the curves of one training.

    `headline` is the main curve of its verb, `loss` or `reward`; `settings` are the stage's own.

    `ended`: the training reached its last step. If it was cut off, only shapes are reported that later steps could not
    have changed: it left a good region, spiked, overfitted or collapsed.

    Advice prefixes setting names with their `place` in the recipe, such as `stages.rft.`. A healthy training, or one
    with too few points, yields nothing.
    """
    training = Training.of({name: points for name, points in curves.items() if name in NAMES}, settings, place)
    return tuple(_READERS.get(headline, _validated)(training, ended))


def _of_loss(training: Training, ended: bool) -> list[Reading]:
    left = curve_loss.diverged(training) or curve_loss.unstable(training)
    if left is not None:
        return [left]
    found = [spikes(training), curve_evaluation.alone(training) if ended else None]
    readers = (
        curve_loss.still,
        curve_loss.thrown,
        curve_evaluation.overfitting,
        curve_loss.too_short,
        curve_evaluation.answers_not_learned,
    )
    main = readers if ended else (curve_evaluation.overfitting,)
    found.append(next((reading for reader in main if (reading := reader(training)) is not None), None))
    return [reading for reading in found if reading is not None]


def _of_reward(training: Training, ended: bool) -> list[Reading]:
    found = [
        curve_evaluation.reward_collapsed(training) or curve_evaluation.reward_not_accuracy(training),
        curve_evaluation.alone(training) if ended else None,
    ]
    return [reading for reading in found if reading is not None]


def _validated(training: Training, ended: bool) -> list[Reading]:
    found = curve_evaluation.alone(training) if ended else None
    return [] if found is None else [found]


_READERS = {"loss": _of_loss, "reward": _of_reward}
"""By the headline of a verb; for any other headline, only the measurements of validation are read."""
