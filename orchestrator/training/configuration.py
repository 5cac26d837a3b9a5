"""A training stage as TRL's own configuration: orch's decisions, the recipe's settings, and further TRL arguments.

Further arguments are checked against the types of TRL's fields first: its dataclasses accept any value and fail much
later.
"""

from typing import Any, cast, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments, get_scheduler
from transformers.trainer_utils import SchedulerType
from trl import GRPOConfig, SFTConfig

from orchestrator.errors import StageError
from orchestrator.models.loading import dtype
from orchestrator.training import workers
from orchestrator.training.generation_settings import try_generation
from orchestrator.training.job import TrainingJob
from orchestrator.training.settings import GrpoSettings, SftSettings

_NEVER = 2**31
"""Turns off the trainer's own checkpoint interval: `Saving` requests them. The last step's is written anyway."""


def sft_config(job: TrainingJob) -> SFTConfig:
    """The configuration for a job of supervised fine-tuning. Raises StageError if TRL rejects it."""
    spec = cast(SftSettings, job.spec)
    return _built(
        SFTConfig,
        job,
        _shared(job)
        | {"max_length": spec.max_length, "packing": False, "dataset_kwargs": {"skip_prepare_dataset": True}},
    )


def grpo_config(job: TrainingJob) -> GRPOConfig:
    """The configuration for a GRPO job. Raises StageError if TRL rejects it."""
    spec = cast(GrpoSettings, job.spec)
    own: dict[str, Any] = {
        "num_generations": spec.num_generations,
        "num_iterations": spec.num_iterations,
        "max_completion_length": spec.max_completion_length,
        "temperature": spec.temperature,
        "top_p": spec.top_p,
        "beta": spec.beta,
        "loss_type": spec.loss_type,
        "scale_rewards": spec.scale_rewards,
        "epsilon": spec.epsilon,
        "mask_truncated_completions": spec.mask_truncated_completions,
    }
    if spec.lora is None and spec.beta and job.model.base.revision is not None:
        own["model_init_kwargs"] = {"revision": job.model.base.revision}  # for the reference model, which TRL loads
    made = _built(GRPOConfig, job, _shared(job) | own)
    try_generation(made)
    return made


def _built(kind: type[TrainingArguments], job: TrainingJob, arguments: dict[str, Any]) -> Any:
    further = _checked(kind, job.spec.further)
    try:
        made = kind(**arguments | further)
    except (TypeError, ValueError, ImportError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        given = ", ".join(further) or "these settings"
        raise StageError(f"TRL rejected {given}: {first}") from None
    if made.n_gpu > 1:  # the trainer would multiply the batch by this, but the key is for one batch
        raise StageError(f"this training was given one GPU but sees {made.n_gpu}: leave CUDA_VISIBLE_DEVICES to Ray")
    _try_schedule(made)
    return made


def _try_schedule(made: TrainingArguments) -> None:
    """Build the learning-rate schedule, which the trainer itself builds only when training begins."""
    name, wanted = SchedulerType(made.lr_scheduler_type).value, made.lr_scheduler_kwargs
    try:
        get_scheduler(
            name, torch.optim.SGD([torch.zeros(1)], lr=made.learning_rate), 0, 1, scheduler_specific_kwargs=wanted
        )
    except (TypeError, ValueError) as error:
        raise StageError(f"lr_scheduler_type: {name} does not take lr_scheduler_kwargs {wanted}: {error}") from None


def _checked(kind: type[TrainingArguments], further: dict[str, Any]) -> dict[str, Any]:
    """The further arguments, converted to the types of TRL's fields."""
    if not further:
        return {}
    types, found, problems = get_type_hints(kind), {}, []
    for name, value in further.items():
        try:
            fits = TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))
            found[name] = fits.validate_python(value)
        except KeyError:
            problems.append(f"{name}: this version of TRL has no such argument in {kind.__name__}")
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            problems.append(f"{name}: {message[:1].lower()}{message[1:]}, got {value!r}")
    if problems:
        raise StageError(*problems)
    return found


def _shared(job: TrainingJob) -> dict[str, Any]:
    """The arguments that SFTConfig and GRPOConfig share."""
    spec = job.spec
    half = dtype(job.model.base.dtype)
    rows, passes = spec.per_device_train_batch_size, spec.gradient_accumulation_steps
    if workers.count() > 1:
        rows, passes = spec.shared_batch
    on_gpu = torch.cuda.is_available()
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
        "num_train_epochs": spec.num_train_epochs or spec.DEFAULT_EPOCHS,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": passes,
        "logging_steps": spec.logging_steps,
        "save_steps": _NEVER,
        "save_total_limit": 2,
        "use_cpu": not on_gpu,
        "bf16": half is torch.bfloat16,
        "fp16": half is torch.float16 and on_gpu,  # gradient scaling needs a GPU; `train` refuses it elsewhere
        "activation_checkpointing": spec.activation_checkpointing,
        "dataloader_pin_memory": on_gpu,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
    }
