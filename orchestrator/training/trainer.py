"""What all trainers have in common: checkpoints, curves, and the model they leave."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from orchestrator.errors import StageError
from orchestrator.health.watch import Watch, stops
from orchestrator.journal import Journal
from orchestrator.model_loading import dtype, save_model
from orchestrator.recipe import BASE, verb_of
from orchestrator.training.job import MODEL_FOLDER, TrainingJob


def train(trainer: Trainer, job: TrainingJob) -> None:
    """Run a trainer from its last checkpoint, or from the start, and save what it made."""
    if dtype(job.model.base.dtype) is torch.float16 and not torch.cuda.is_available():
        raise StageError(
            "model.dtype is float16, which is trained with scaled gradients on a GPU only, and this worker has none; "
            "set model.dtype to float32 or bfloat16"
        )
    checkpoints = Path(trainer.args.output_dir)
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    journal = Journal(job.work)
    journal.start(int(last.rpartition("-")[2]) if last else 0)
    trainer.add_callback(_Report(journal, job))
    trainer.train(resume_from_checkpoint=last)
    folder = job.work / MODEL_FOLDER
    contract = job.answer_format.model_dump(mode="json")
    save_model(trainer.model, trainer.processing_class, job.model, folder, contract)


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
            from_base = self.job.spec.model == BASE and self.job.model.adapter is None
            self.watch = Watch(verb_of(self.job.spec), state.max_steps, from_base)
        found = self.watch.look(state.global_step, logged)
        for finding in found:
            self.journal.finding(state.global_step, finding)
        stop = stops(found, self.job.stop_on)
        if stop is not None:
            raise StageError(f"stopped by limits.stop_on: {stop.check}: {stop.what}; {stop.remedy}")
