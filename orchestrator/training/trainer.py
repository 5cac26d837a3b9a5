"""What all trainers have in common: their arguments, checkpoints, curves, and the adapter they leave."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from orchestrator.journal import Journal
from orchestrator.model_loading import dtype, save_adapter
from orchestrator.stage_specs import Lora, TrainingSpec
from orchestrator.training.job import MODEL_FOLDER, TrainingJob


def lora_arguments(spec: TrainingSpec) -> dict[str, Any]:
    """The recipe's LoRA block, as PEFT takes it."""
    lora = (spec.lora or Lora()).model_dump()
    if isinstance(lora["target_modules"], tuple):
        lora["target_modules"] = list(lora["target_modules"])
    return lora


def trainer_arguments(job: TrainingJob, default_epochs: float) -> dict[str, Any]:
    """The arguments that SFTConfig and GRPOConfig share."""
    spec = job.spec
    half = dtype()
    return {
        "output_dir": str(job.work / "checkpoints"),
        "seed": job.seed,
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": spec.lr_scheduler_type,
        "warmup_steps": spec.warmup_steps,
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "adam_beta2": spec.adam_beta2,
        "max_steps": spec.max_steps or -1,
        "num_train_epochs": spec.num_train_epochs or default_epochs,
        "per_device_train_batch_size": spec.per_device_train_batch_size,
        "gradient_accumulation_steps": spec.gradient_accumulation_steps,
        "logging_steps": spec.logging_steps,
        "save_steps": spec.save_steps,
        "save_total_limit": 2,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": half is torch.bfloat16,
        "fp16": half is torch.float16,
        "activation_checkpointing": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
    }


def train(trainer: Trainer, job: TrainingJob) -> None:
    """Run a trainer from its last checkpoint, or from the start, and save what it made."""
    checkpoints = Path(trainer.args.output_dir)
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    journal = Journal(job.work)
    journal.start(int(last.rpartition("-")[2]) if last else 0)
    trainer.add_callback(_Report(journal))
    trainer.train(resume_from_checkpoint=last)
    folder = job.work / MODEL_FOLDER
    save_adapter(trainer.model, job.model, folder, job.answer_format.model_dump(mode="json"))


class _Report(TrainerCallback):  # type: ignore[misc]
    """Hands progress and curves to the journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

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
        values = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float) and math.isfinite(v)}
        if values and "train_runtime" not in values:
            self.journal.metrics(state.global_step, values)
