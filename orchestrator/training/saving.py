"""When training writes a checkpoint: every `save_steps`, or by default about once a minute.

A checkpoint is written only where resuming from it yields the same model: GRPO uses a batch of completions for several
steps, and a training that resumed in between would sample that batch again from a different model.
"""

import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from orchestrator.training import workers

INTERVAL = 60.0
"""Minimum number of seconds between two checkpoints."""
SHARE = 0.05
"""Maximum share of the time spent writing them."""


class Saving(TrainerCallback):  # type: ignore[misc]
    """Makes the trainer write its checkpoints; the last step's is always written."""

    def __init__(self, save_steps: int | None) -> None:
        self.save_steps = save_steps
        self._due = False
        self._last = self._asked = time.monotonic()
        self._took = 0.0
        """Number of seconds it took to write the last checkpoint."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._last = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Request a checkpoint once one is due, at the first step after which training can resume."""
        now = time.monotonic()
        if self.save_steps is not None:
            self._due |= state.global_step % self.save_steps == 0
        else:
            self._due |= workers.as_the_first(now - self._last >= max(INTERVAL, self._took / SHARE))
        if self._due and state.global_step % resumable_every(args) == 0:
            control.should_save = True
        if control.should_save:
            self._due, self._asked = False, now

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._last = time.monotonic()
        self._took = self._last - self._asked


def resumable_every(args: TrainingArguments) -> int:
    """Interval between steps at which every sampled completion has been used; 1 if none are sampled."""
    accumulated: int = args.gradient_accumulation_steps
    used: int = (getattr(args, "steps_per_generation", None) or 1) * getattr(args, "num_iterations", 1)
    return math.lcm(used, accumulated) // accumulated
