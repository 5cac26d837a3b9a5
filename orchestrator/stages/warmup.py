"""Detects a warm-up that outlasts its training, so that the recipe's learning rate is never reached."""

import math

from orchestrator.training.settings import TrainingSettings
from orchestrator.types import Finding

_NO_WARMUP = ("constant",)
"""Schedules without a warm-up, which silently ignore a requested one."""
_REACHED = 0.5
"""A training whose learning rate never exceeds this share of the recipe's is not the training that was asked for."""


def warmup_finding(name: str, spec: TrainingSettings, most: int) -> Finding | None:
    """The finding for a stage of at most `most` steps; `name` is the stage's."""
    if not spec.warmup_steps:
        return None
    asked = spec.warmup_steps
    if spec.lr_scheduler_type in _NO_WARMUP:
        return Finding(
            "warmup-ignored",
            "warning",
            f"stage {name}: warmup_steps = {asked:g} has no effect with lr_scheduler_type: {spec.lr_scheduler_type}",
            "the schedule is constant from the first step on",
            "this schedule has no warm-up, and TRL does not warn about it",
            f"set stages.{name}.lr_scheduler_type to constant_with_warmup, or leave warmup_steps out",
        )
    warm = int(asked) if asked >= 1 else math.ceil(most * asked)
    if warm < most:
        return None
    upto = "" if spec.max_steps is not None else "at most "
    trained = f"{upto}{most:,} step{'s' if most > 1 else ''}"
    return Finding(
        "warmup-too-long",
        "error" if most - 1 < _REACHED * warm else "warning",
        f"stage {name}: warmup_steps = {asked:g} takes up the whole training, which has {trained}",
        f"the learning rate rises from 0 and gets no further than {spec.learning_rate * (most - 1) / max(1, warm):.3g} "
        f"of {spec.learning_rate:g}",
        "the warm-up was written for a longer training",
        f"set stages.{name}.warmup_steps to {max(1, most // 10)}, or to a share of the steps such as 0.1"
        if most > 1
        else f"leave stages.{name}.warmup_steps out, or train for more steps",
    )
