"""What all trainers have in common: checkpoints, curves, and the model they leave."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from orchestrator.errors import StageError
from orchestrator.health.watch import Watch, stops
from orchestrator.journal import Journal
from orchestrator.model_loading import dtype, save_model
from orchestrator.recipe import BASE, verb_of
from orchestrator.start_model import is_trained
from orchestrator.training.job import MODEL_FOLDER, TrainingJob
from orchestrator.training.resuming import last_whole, step_of
from orchestrator.training.validating import Validator


def train(trainer: Trainer, job: TrainingJob) -> None:
    """Run a trainer from its last checkpoint, or from the start, and save what it made."""
    if dtype(job.model.base.dtype) is torch.float16 and not torch.cuda.is_available():
        raise StageError(
            "model.dtype is float16, which is trained with scaled gradients on a GPU only, and this worker has none; "
            "set model.dtype to float32 or bfloat16"
        )
    checkpoints = Path(trainer.args.output_dir)
    last = last_whole(checkpoints)
    journal = Journal(job.work)
    journal.start(step_of(last) if last else 0)
    trainer.add_callback(_Report(journal, job))
    validator = Validator(trainer.model, trainer.processing_class, job, journal) if job.validation else None
    if validator is not None:
        trainer.add_callback(validator)
    if last is not None and _is_the_end(last):
        trainer._load_from_checkpoint(str(last))  # to go on from the last step would be to take one more
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if trainer.state.global_step == 0:  # TRL drops a batch that is not full, and says nothing
            raise StageError(
                f"no step was taken: the {len(trainer.train_dataset):,} rows fill no batch of "
                f"{trainer.args.per_device_train_batch_size}; lower per_device_train_batch_size, or give it more rows"
            )
    folder = job.work / MODEL_FOLDER
    if validator is not None:
        validator.hand_on(folder)
        return
    contract = job.answer_format.model_dump(mode="json")
    save_model(trainer.model, trainer.processing_class, job.model, folder, contract)


def _is_the_end(checkpoint: Path) -> bool:
    """Whether a training had taken its last step when it was cut off."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return bool(state.global_step >= state.max_steps)


class _Report(TrainerCallback):  # type: ignore[misc]
    """Hands progress, curves and what is wrong with them to the journal."""

    def __init__(self, journal: Journal, job: TrainingJob) -> None:
        self.journal, self.job = journal, job
        self.watch: Watch | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.journal.progress(state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        logged = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float)}
        if not logged or "train_runtime" in logged:
            return
        self.journal.metrics(state.global_step, {k: v for k, v in logged.items() if math.isfinite(v)})
        if self.watch is None:
            model = self.job.model
            from_base = self.job.spec.model == BASE and not is_trained(model.base, model.adapter)
            self.watch = Watch(verb_of(self.job.spec), state.max_steps, from_base, scaled=args.fp16)
        found = self.watch.look(state.global_step, logged)
        for finding in found:
            self.journal.finding(state.global_step, finding)
        stop = stops(found, self.job.stop_on)
        if stop is not None:
            raise StageError(f"stopped by limits.stop_on: {stop.check}: {stop.what}; {stop.remedy}")
