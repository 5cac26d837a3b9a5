"""When a training writes a checkpoint: every `save_steps`, or where the recipe leaves it open, about once a minute.

A checkpoint is only written where a training that resumes from it makes the same model: GRPO uses a batch of
completions for several steps, and one that resumes between them would draw that batch again from another model.
"""

import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from orchestrator.training import workers

INTERVAL = 60.0
"""Seconds between two checkpoints at the least."""
SHARE = 0.05
"""Of the time, at most so much goes into writing them."""


class Saving(TrainerCallback):  # type: ignore[misc]
    """Has the trainer write its checkpoints; the last step's is written in any case."""

    def __init__(self, save_steps: int | None) -> None:
        self.save_steps = save_steps
        self._due = False
        self._last = self._asked = time.monotonic()
        self._took = 0.0
        """Seconds that the last checkpoint took to write."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._last = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a checkpoint once one is due, at the first step after which training can resume."""
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
    """The steps between two at which every completion that was drawn has been used; 1 where none are drawn."""
    accumulated: int = args.gradient_accumulation_steps
    used: int = (getattr(args, "steps_per_generation", None) or 1) * getattr(args, "num_iterations", 1)
    return math.lcm(used, accumulated) // accumulated
