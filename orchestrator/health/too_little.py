"""Too little training: a model with almost no correct answers, whose loss was still falling when its training ended.

Judged from the curve and the completions together: a curve of a few steps proves nothing by itself, and a model that
answers nothing may have learned everything in another format. Knows no model and no file.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from orchestrator.health.curves.advice import Settings, faster, longer, short
from orchestrator.health.curves.series import Point, Series
from orchestrator.health.written import Written
from orchestrator.training.settings import GrpoSettings, SftSettings
from orchestrator.types import Finding

_FEW_RIGHT = 0.1
"""A model with a larger share of correct answers has learned what it should, if not well."""
_FAR = 0.3
"""Nats per token above which a model cannot yet write worked solutions without slips."""
_ON_ITS_WAY = 0.2
"""A loss was still falling if this share of its fall came in the second half of the training, measured in learning rate
spent, not in steps: a schedule slows down by design."""
_FEW_STEPS = 20
_MOVED = 0.05
"""A loss that fell by less than this share in that many steps has hardly moved."""


def too_little(
    stage: str, curves: Mapping[str, Sequence[Point]], settings: Mapping[str, Any], rows: Sequence[Written]
) -> Finding | None:
    """The finding for the model of an `sft` stage that starts from the base model; `rows` are its completions."""
    loss = Series.of(curves.get("loss", ()))
    right = sum(row.status == "correct" for row in rows)
    if not rows or right > _FEW_RIGHT * len(rows) or len(loss) < 2:
        return None
    width = 1 if len(loss) < 6 else 3
    began, ends, steps = float(loss.values[0]), loss.level(width), int(loss.steps[-1])
    fell = began - ends
    if ends < _FAR or fell < 0 or (fell < _MOVED * began and steps >= _FEW_STEPS):
        return None
    if len(loss) >= 6 and _late(loss, Series.of(curves.get("learning_rate", ()))) < _ON_ITS_WAY * fell:
        return None  # it has leveled off: more of the same would not help
    read = Settings(settings, f"stages.{stage}.")
    rate = read.get("learning_rate") or 0.0
    kind = SftSettings if settings.get("lora", {}) is not None else GrpoSettings  # full fine-tuning uses smaller steps
    slow = rate < kind.model_fields["learning_rate"].default
    answered = sum(row.status in ("correct", "wrong") for row in rows)
    seen = f"loss {began:.2f} at step {loss.steps[0]}, {ends:.2f} at step {steps}, still falling; {answered:,} of "
    seen += f"{len(rows):,} completions contain an answer, {right:,} are correct; the first: {rows[0].text[:120]!r}"
    if slow:
        return Finding(
            "nothing-learned",
            "error",
            f"model {stage} was trained at a learning rate that is too low: the loss fell by {fell / began:.0%} in "
            f"{steps:,} steps",
            f"{seen}; learning_rate {short(rate)}",
            "the steps are too small to move the weights in this many steps",
            f"set {faster(read)}",
        )
    return Finding(
        "too-short",
        "error",
        f"model {stage} was trained too little: the loss was still falling when training ended at step {steps:,}",
        seen,
        "the training is too short for what there is to learn at this learning rate: the model has learned how answers "
        "begin, but not yet how they end",
        f"set {longer(read, Series.of(curves.get('epoch', ())), 4)}",
    )


def _late(loss: Series, rate: Series) -> float:
    """How far the loss fell in the second half of the learning rate spent."""
    known = dict(zip(rate.steps.tolist(), rate.values.tolist(), strict=True))
    spent = list(accumulate(known.get(step, 1.0) for step in loss.steps.tolist()))
    half = int(np.searchsorted(spent, spent[-1] / 2))
    return float(np.median(loss.values[max(0, half - 1) : half + 2])) - loss.level(3)
