"""The parts that all trainers share: checkpoints, curves, and saving the model."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from orchestrator.errors import StageError
from orchestrator.models.loading import dtype, save_model
from orchestrator.models.start import is_trained
from orchestrator.training import workers
from orchestrator.training.checkpoints import checkpoint_of, mark_whole, resume_from, step_of
from orchestrator.training.job import MODEL_FOLDER, TrainingJob
from orchestrator.training.journal import Journal, JournalOfAnother
from orchestrator.training.moving import Moving
from orchestrator.training.saving import Saving
from orchestrator.training.validating import Validator
from orchestrator.training.watch import MOVED, Schedule, Watch, stops
from orchestrator.training.windows import Windows, every
from orchestrator.types import BASE

_MOVING = 3
"""Number of steps above half the peak learning rate after which weights have moved, if they move at all."""


def train(trainer: Trainer, job: TrainingJob) -> None:
    """Run a trainer from its last checkpoint, or from the start, and save the trained model."""
    if dtype(job.model.base.dtype) is torch.float16 and not torch.cuda.is_available():
        raise StageError(
            "model.dtype is float16, which needs gradient scaling on a GPU to train, and this worker has no GPU; "
            "set model.dtype to float32 or bfloat16"
        )
    if not any(weight.requires_grad for weight in trainer.model.parameters()):
        raise StageError("no weight of the model is trained: all are frozen; check lora and lora.target_modules")
    first = workers.is_first()
    # the first removes damaged checkpoints before the others look
    resumed = workers.as_the_first(resume_from(Path(trainer.args.output_dir)) if first else None)
    assert resumed is not None
    last = resumed.checkpoint
    journal = Journal(job.work) if first else JournalOfAnother(job.work)
    journal.start(step_of(last) if last else 0)
    trainer.remove_callback(PrinterCallback)  # it would print every step
    if (passed := resumed.finding()) is not None:
        journal.finding(step_of(last) if last else 0, passed)
    trainer.add_callback(_Report(journal, job))
    trainer.add_callback(Saving(job.spec.save_steps))
    validator = Validator(trainer.model, trainer.processing_class, job, journal) if job.validation else None
    if validator is not None:
        trainer.add_callback(validator)
    if last is not None and _is_the_end(last):
        trainer._load_from_checkpoint(str(last))  # resuming from the last step would take one more
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if trainer.state.global_step == 0:  # TRL silently drops a batch that is not full
            raise StageError(
                f"no step was taken: the {len(trainer.train_dataset):,} rows do not fill a batch of "
                f"{trainer.args.per_device_train_batch_size}; lower per_device_train_batch_size, or give it more rows"
            )
    folder = job.work / MODEL_FOLDER
    if validator is not None:
        validator.hand_on(folder)
    elif first:
        contract = job.answer_format.model_dump(mode="json")
        save_model(trainer.model, trainer.processing_class, job.model, folder, contract)
    workers.meet()  # no worker exits before the model is saved


def _is_the_end(checkpoint: Path) -> bool:
    """Whether a training had taken its last step when it was interrupted."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return bool(state.global_step >= state.max_steps)


class _Report(TrainerCallback):  # type: ignore[misc]
    """Writes progress, curves and findings to the journal.

    The trainer logs every step for it: the watch looks at each one, whatever interval `logging_steps` sets for curves.
    """

    def __init__(self, journal: Journal, job: TrainingJob) -> None:
        self.journal, self.job = journal, job
        self.watch: Watch | None = None
        self.moving: Moving | None = None
        """A sample of the initial weights, until it is known whether they move."""
        self.schedule: Schedule | None = None
        self.windows = Windows()
        self._moving_steps = 0
        """Number of steps that must have moved the weights."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        """Record what is known before the first step: the upcoming learning rates and the initial weights."""
        spec, base = self.job.spec, self.job.model
        self.schedule = _schedule(lr_scheduler, spec.learning_rate, state.global_step, state.max_steps)
        self.moving, self._moving_steps = Moving(model), 0
        from_base = spec.model == BASE and not is_trained(base.base, base.adapter)
        drawn, each = (getattr(args, name, None) for name in ("generation_batch_size", "num_generations"))
        groups = drawn // each if drawn and each else None
        self.watch = Watch(spec.HEADLINE, state.max_steps, from_base, args.fp16, self.schedule, groups)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Record progress, and make the trainer log every step."""
        self.journal.progress(state.global_step, state.max_steps)
        control.should_log = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        workers.meet()  # each has written its part
        if workers.is_first():
            mark_whole(checkpoint_of(Path(args.output_dir), state.global_step))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Check a step, and add it to the curves."""
        logged = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float)}
        if not logged or "train_runtime" in logged:
            return
        assert self.watch is not None
        step = state.global_step
        self.windows.add(logged)
        if step % every(self.job.spec.logging_steps, state.max_steps) == 0 or step == state.max_steps:
            self.journal.metrics(step, self.windows.point())
        else:
            state.log_history.pop()  # it is written into every checkpoint
        found = self.watch.look(step, logged | self._moved(logged, step == state.max_steps))
        for finding in found:
            self.journal.finding(step, finding)
        stop = stops(found, self.job.stop_on)
        if stop is not None:
            raise StageError(f"stopped by limits.stop_on: {stop.check}: {stop.what}; {stop.remedy}")

    def _moved(self, logged: Mapping[str, float], last: bool) -> dict[str, float]:
        """The share of weights that have moved; reported once, after enough sufficiently large steps."""
        highest = self.schedule.highest if self.schedule is not None else 0.0
        felt = 0 < logged.get("grad_norm", 0.0) < math.inf and logged.get("learning_rate", 0.0) > highest / 2
        self._moving_steps += felt
        if self.moving is None or not self._moving_steps or (self._moving_steps < _MOVING and not last):
            return {}
        share, self.moving = self.moving.share(), None
        return {MOVED: share}


def _schedule(scheduler: Any, wanted: float, begin: int, total: int) -> Schedule | None:
    """The learning rates of a training's steps; None if its scheduler decides as it goes."""
    if not isinstance(scheduler, LambdaLR):
        return None
    factors = [scheduler.lr_lambdas[0](step) for step in range(begin, total)]
    rates = [scheduler.base_lrs[0] * factor for factor in factors]
    return Schedule(wanted, max(rates, default=0.0), sum(rates))
