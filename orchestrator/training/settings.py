"""The settings of a training stage, under TRL's own names. Pydantic only; nothing here runs anything.

The verbs (`stages/`) add the fields that name a stage's inputs and how they are used.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from orchestrator.models.settings import Lora
from orchestrator.schema import Fraction, NonNegative, Positive, PositiveFloat, Spec, unknown
from orchestrator.training.trl_arguments import GRPO_ARGUMENTS, SET_BY_ORCH, SFT_ARGUMENTS, Scheduler


class Resources(Spec):
    """The resources of one job of a stage. A stage with many shards runs as many jobs in parallel as fit."""

    cpus: Positive | None = None
    """CPU cores; default: two for training (one on a one-core machine), one for sampling and evaluation."""
    gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs; 0.5 lets two jobs share one. Default: one if the cluster has any, otherwise none."""


class TrainingResources(Resources):
    """The resources of a training. Several workers divide each batch, so the effective batch size stays the same."""

    workers: Positive = 1
    """Processes that train one model together, each with `cpus` cores and one GPU; they divide each step's batch."""

    @model_validator(mode="after")
    def _at_most_one_each(self) -> "TrainingResources":
        gpus = self.gpus
        if gpus is not None and gpus > 1:
            raise ValueError(
                f"one worker of a training uses at most one GPU, not {gpus:g}: write gpus: 1 and workers: {gpus:g}"
            )
        if self.workers > 1 and gpus is not None and gpus not in (0, 1):
            raise ValueError(f"workers that train together do not share a GPU, so gpus is 1 or 0, not {gpus:g}")
        return self


Selection = Literal["best_accuracy", "best_loss", "last"]
"""The rule that selects one of a training's validated checkpoints."""


class Validation(Spec):
    """Validation during training: on the task's `validation` split, never on its test split."""

    every: Positive
    """Steps between validations; the last step is always validated."""
    questions: Positive = 64
    """Number of questions to validate on, from the beginning of the split."""
    select: Selection = "best_accuracy"
    """The checkpoint to keep. best_accuracy: the highest accuracy with greedy decoding, the earliest on a tie;
    best_loss: the lowest loss, ignoring isolated dips; last: the model at the end of training."""


class StageSettings(Spec):
    """The settings that every stage has."""

    resources: Resources = Resources()
    """The resources of one job of the stage; they do not affect the output."""
    IDLE: ClassVar[Mapping[str, str]] = {
        "resources": "resources do not change the output; workers that do are added to the key"
    }
    """The settings that do not affect the stage's output, and why."""
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Settings added later whose default changes nothing: at the default they are left out of the key, as before."""

    @property
    def verb(self) -> str:
        """The verb, which a recipe's stage names as its `type`."""
        return str(getattr(self, "type", "?"))

    def in_key_by_content(self) -> set[str]:
        """The settings that are names of something whose content decides the output: the verb adds that to its key."""
        return {"type"}

    def settings(self) -> dict[str, object]:
        """The settings that decide this stage's output, without its references."""
        usual = {name for name in self.LATER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude={*self.IDLE, *self.in_key_by_content(), *usual})


_FURTHER = "further arguments"


class TrainingSettings(StageSettings):
    """The settings that SFT and GRPO share."""

    resources: TrainingResources = TrainingResources()
    """The resources of the training. They do not affect the model, except for `workers` when training draws random
    numbers (GRPO, dropout, NEFTune)."""
    model: str = "base"
    """`base`, or the stage whose model is trained further."""
    lora: Lora | None = Lora()
    """The adapter to train; null: train all weights and save the whole model. If `model` already has an adapter,
    leave `lora` out to train that adapter further, or set null to merge it and train all weights."""
    learning_rate: PositiveFloat
    """AdamW's peak learning rate."""
    lr_scheduler_type: Scheduler = "linear"
    """The learning-rate schedule after the warm-up."""
    warmup_steps: NonNegative = 0
    """Warm-up steps; below 1, a share of all steps."""
    weight_decay: NonNegative = 0.0
    """AdamW's weight decay."""
    max_grad_norm: NonNegative = 1.0
    """Gradients with a larger norm are scaled down to this norm; 0: no clipping."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """AdamW's beta2: the decay rate of the second-moment estimate."""
    max_steps: Positive | None = None
    """Optimizer steps; set this or num_train_epochs, not both."""
    num_train_epochs: PositiveFloat | None = None
    """Passes over the data; set this or max_steps, not both. If neither is set: 3 for SFT, 1 for GRPO."""
    per_device_train_batch_size: Positive
    """Rows per forward pass; for GRPO, completions."""
    gradient_accumulation_steps: Positive = 1
    """Forward passes per optimizer step."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them: less memory, about a third slower."""
    logging_steps: Positive = 5
    """Steps between points on the training curves."""
    save_steps: Positive | None = None
    """Steps between checkpoints, from which a killed run resumes. Default: about one checkpoint a minute, fewer if
    writing them would take more than 5% of the time."""
    validation: Validation | None = None
    """Measure loss and accuracy during training, and output the selected checkpoint. Default: no validation; the
    output is the model of the last step."""
    further: dict[str, JsonValue] = Field(default={}, alias=_FURTHER)
    """Further TRL arguments, each written directly in the block under its own name."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """The names allowed in `further`."""
    DEFAULT_EPOCHS: ClassVar[float]
    """The number of epochs if neither max_steps nor num_train_epochs is set."""
    IDLE: ClassVar[Mapping[str, str]] = {
        **StageSettings.IDLE,
        "logging_steps": "how often a point is logged does not change the model",
        "save_steps": "a training that resumes from a checkpoint yields the same model",
    }
    HEADLINE: ClassVar[str] = "loss"
    """The main curve of the training; it decides which rules `Watch` applies."""
    LATER = StageSettings.LATER | {"activation_checkpointing", "validation"}

    @classmethod
    def explain_unknown(cls, name: str) -> str:
        """What is wrong with a key that this block does not have."""
        if name in SET_BY_ORCH:
            return f"{name} is not set in a recipe: {SET_BY_ORCH[name]}"
        return unknown("key", name, [n for n in cls.model_fields if n != "further"], cls.ARGUMENTS)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Collect TRL's further arguments in one field; keys that are not TRL's either are left to be rejected."""
        if not isinstance(data, dict):
            return data
        own = [name for name in data if name in cls.ARGUMENTS and name not in cls.model_fields]
        kept = {name: value for name, value in data.items() if name not in own and name != _FURTHER}
        return kept | {_FURTHER: {name: data[name] for name in own}}

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingSettings":
        if self.max_steps is not None and self.num_train_epochs is not None:
            raise ValueError("max_steps and num_train_epochs both say how long to train: keep one of them")
        return self

    @model_validator(mode="after")
    def _workers_share_a_batch(self) -> "TrainingSettings":
        if self.resources.workers > 1:
            self.shared_batch  # noqa: B018 - it raises
        return self

    @property
    def dealt(self) -> int:
        """Number of forward passes dealt out to the workers at a time; workers that share one divide its rows."""
        return math.gcd(self.gradient_accumulation_steps, self.resources.workers)

    @property
    def shared_batch(self) -> tuple[int, int]:
        """The rows per forward pass of each worker, and its forward passes per optimizer step.

        Together the workers process the rows that a single worker would. Its forward passes are dealt out to them;
        only if there are too few passes are the rows of a pass divided as well.

        Raises:
            ValueError: the rows of a step cannot be divided evenly among the workers.
        """
        rows, passes = self.per_device_train_batch_size, self.gradient_accumulation_steps
        workers = self.resources.workers
        dealt = self.dealt
        if rows % (workers // dealt):
            raise ValueError(
                f"per_device_train_batch_size x gradient_accumulation_steps = {rows} x {passes} rows cannot be divided "
                f"by resources.workers = {workers}: make one of the two a multiple of {workers}"
            )
        return rows // (workers // dealt), passes // dealt

    @property
    def draws_numbers(self) -> bool:
        """Whether training draws random numbers, which each worker does separately."""
        dropout = self.lora is not None and self.lora.lora_dropout > 0
        return dropout or bool(self.further.get("neftune_noise_alpha"))

    @property
    def asks_for_lora(self) -> bool:
        """Whether the recipe itself configures an adapter, rather than leaving the default."""
        return self.lora is not None and "lora" in self.model_fields_set

    def batches(self, rows: int) -> int:
        """The number of batches per epoch on one device, as TRL counts them; 0 if no batch is full."""
        size = self.per_device_train_batch_size
        return rows // size if self.further.get("dataloader_drop_last") else math.ceil(rows / size)

    def steps(self, rows: int) -> int:
        """The number of optimizer steps of a training on that many rows or questions."""
        if self.max_steps is not None:
            return self.max_steps
        an_epoch = max(1, math.ceil(self.batches(rows) / self.gradient_accumulation_steps))
        return math.ceil((self.num_train_epochs or self.DEFAULT_EPOCHS) * an_epoch)

    def settings(self) -> dict[str, object]:
        """The settings that decide the output; `lora` is "full" without an adapter and None for the default one."""
        lora = "full" if self.lora is None else None if self.lora == Lora() else self.lora.model_dump(mode="json")
        return super().settings() | {"lora": lora}

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A block that parses back to this one: a default adapter is omitted, no adapter is written as null."""
        data: dict[str, Any] = handler(self)
        for name in ("lora", "further", _FURTHER):
            data.pop(name, None)
        data |= self.further
        if self.lora is None:
            data["lora"] = None
        elif self.asks_for_lora:
            data["lora"] = self.lora.model_dump(mode="json")
        return data


class SftSettings(TrainingSettings):
    """Supervised fine-tuning on worked solutions (TRL's SFTTrainer)."""

    learning_rate: PositiveFloat = 2e-4
    per_device_train_batch_size: Positive = 32
    num_train_epochs: PositiveFloat | None = None
    max_length: Positive = 1024
    """Maximum tokens of prompt plus target; a longer row is an error, never silently truncated."""
    answer_weight: PositiveFloat = 1.0
    """Loss weight of an answer token relative to a reasoning token. The answer extends from its opening marker to the
    end of text."""

    ARGUMENTS = SFT_ARGUMENTS
    DEFAULT_EPOCHS = 3
    LATER = TrainingSettings.LATER | {"answer_weight"}

    @model_validator(mode="after")
    def _one_loss(self) -> "SftSettings":
        other = [name for name in ("loss_type", "label_smoothing_factor") if name in self.further]
        if self.answer_weight != 1 and other:
            raise ValueError(f"answer_weight and {other[0]} both change the loss: keep one of them")
        return self


class GrpoSettings(TrainingSettings):
    """Group relative policy optimization (TRL's GRPOTrainer); the reward is the score from the task's judge."""

    learning_rate: PositiveFloat = 1e-5
    per_device_train_batch_size: Positive = 64
    """Completions per forward pass, as TRL counts; a step covers this x gradient_accumulation_steps / num_generations
    questions."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Completions per question: the group within which rewards are compared."""
    num_iterations: Positive = 1
    """Number of passes over each batch of completions before new ones are sampled."""
    max_completion_length: Positive = 256
    """Maximum tokens per completion."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature, by which the logits are divided: above 1 draws vary more, below 1 less."""
    top_p: Fraction = 1.0
    """Nucleus sampling: only the most probable tokens, up to this total probability, are sampled from."""
    beta: NonNegative = 0.0
    """Weight of the KL divergence from the model that training starts from; 0: no such term, and no reference
    model is loaded."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    """How the tokens of completions of different lengths are weighted, under TRL's names."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Advantages are divided by the standard deviation of rewards within the group or the batch; none: not divided."""
    epsilon: PositiveFloat = 0.2
    """Clipping range: the probability ratio is clipped to [1 - epsilon, 1 + epsilon]; epsilon_high, if
    set, replaces epsilon in the upper bound."""
    mask_truncated_completions: bool = False
    """Exclude truncated completions from the loss."""

    ARGUMENTS = GRPO_ARGUMENTS
    DEFAULT_EPOCHS = 1
    HEADLINE = "reward"

    @property
    def draws_numbers(self) -> bool:
        """True: sampling completions draws random numbers."""
        return True

    @property
    def completions_at_once(self) -> int:
        """Number of completions sampled at a time: TRL's generation_batch_size."""
        own, a_generation = self.further.get("generation_batch_size"), self.further.get("steps_per_generation")
        if isinstance(own, int):
            return own
        batches = a_generation if isinstance(a_generation, int) else self.gradient_accumulation_steps
        return self.per_device_train_batch_size * batches

    @property
    def questions_at_once(self) -> int:
        """Number of questions for which completions are sampled at a time; with fewer, no step is taken at all."""
        return self.completions_at_once // self.num_generations

    def batches(self, rows: int) -> int:
        """The number of batches per epoch, as TRL counts them; `rows` are questions."""
        generations = rows // max(1, self.questions_at_once)
        return generations * self.num_iterations * (self.completions_at_once // self.per_device_train_batch_size)

    @model_validator(mode="after")
    def _groups_fit(self) -> "GrpoSettings":
        batch = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if batch % self.num_generations:
            raise ValueError(
                f"per_device_train_batch_size x gradient_accumulation_steps = {batch} completions cannot be cut into "
                f"groups of num_generations = {self.num_generations}: make it a multiple of {self.num_generations}"
            )
        return self
