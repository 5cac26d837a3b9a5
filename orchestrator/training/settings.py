"""The settings of a training, as a recipe spells them: TRL's own names. Pydantic only; nothing here runs anything.

What a stage reads, and what is done with it, is the verb's (`stages/`), which adds its fields to these.
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
    """What one job of a stage needs. A stage of many shards runs as many jobs at a time as fit."""

    cpus: Positive | None = None
    """CPU cores; default: two for training (one on a one-core machine), one for sampling and evaluation."""
    gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs, 0.5 shares one between two jobs; default: one where the cluster has any, else none."""


class TrainingResources(Resources):
    """What a training needs. Several workers share each batch, so that the model is that of one worker."""

    workers: Positive = 1
    """Processes that train one model together, each on `cpus` cores and one GPU: they divide the batch of a step."""

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
"""Which of a training's validated checkpoints is selected."""


class Validation(Spec):
    """How a training is looked at while it runs: on the task's `validation` split, never on its test."""

    every: Positive
    """Steps from one look to the next; the last step is always looked at."""
    questions: Positive = 64
    """How many of the split's questions are asked, the first ones."""
    select: Selection = "best_accuracy"
    """best_accuracy: greedy answers, the earliest of the best; best_loss: a lowest loss that a point beside it bears
    out; last: the model as the training leaves it."""


class StageSettings(Spec):
    """What every stage has."""

    resources: Resources = Resources()
    """What one job of the stage needs; it changes nothing of what is made."""
    IDLE: ClassVar[Mapping[str, str]] = {"resources": "how many workers ran it does not change what they make"}
    """The settings that decide nothing of what the stage makes, and why."""
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Settings that came later and whose default changes nothing: at it, they leave the key as it was before them."""

    @property
    def verb(self) -> str:
        """The verb that a stage of a recipe names as its type."""
        return str(getattr(self, "type", "?"))

    def in_key_by_content(self) -> set[str]:
        """The settings whose content, not their names, is what decides: the verb's key has it."""
        return {"type"}

    def settings(self) -> dict[str, object]:
        """The settings that decide this stage's output, without what it refers to."""
        usual = {name for name in self.LATER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude={*self.IDLE, *self.in_key_by_content(), *usual})


_FURTHER = "further arguments"


class TrainingSettings(StageSettings):
    """What SFT and GRPO share."""

    resources: TrainingResources = TrainingResources()
    """What the training needs; it changes nothing of what is made."""
    model: str = "base"
    """`base`, or the stage whose model is trained on."""
    lora: Lora | None = Lora()
    """The adapter that is trained; null: no adapter, all weights are trained and the model is saved whole.
    Where `model` is an adapter already, that one is trained on, and `lora` is left out or null."""
    learning_rate: PositiveFloat
    """Of AdamW, at its highest."""
    lr_scheduler_type: Scheduler = "linear"
    """How the learning rate goes down after the warm-up."""
    warmup_steps: NonNegative = 0
    """Steps, or a share of all steps if below 1."""
    weight_decay: NonNegative = 0.0
    """Of AdamW."""
    max_grad_norm: NonNegative = 1.0
    """Gradients longer than this are scaled down to it; 0: none is."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Decay of AdamW's second moment."""
    max_steps: Positive | None = None
    """Optimizer steps; write this or num_train_epochs."""
    num_train_epochs: PositiveFloat | None = None
    """How often all rows are gone through; write this or max_steps."""
    per_device_train_batch_size: Positive
    """Rows of one forward pass; of GRPO completions."""
    gradient_accumulation_steps: Positive = 1
    """Forward passes of one optimizer step."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass rather than keep them: less memory, about a third slower."""
    logging_steps: Positive = 5
    """Steps between two points of the curves."""
    save_steps: Positive | None = None
    """The steps between two checkpoints, from which a killed run resumes; default: one a minute, and fewer where
    writing them would take more than 5% of the time."""
    validation: Validation | None = None
    """Measure loss and accuracy while it trains, and hand the chosen checkpoint on; default: neither, the last."""
    further: dict[str, JsonValue] = Field(default={}, alias=_FURTHER)
    """Further arguments of TRL's, each written in the block under its own name."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """The names that `further` may hold."""
    DEFAULT_EPOCHS: ClassVar[float]
    """How long it trains where neither max_steps nor num_train_epochs is set."""
    IDLE: ClassVar[Mapping[str, str]] = {
        **StageSettings.IDLE,
        "logging_steps": "how often the curve is written does not change the model",
        "save_steps": "a training that resumes from a checkpoint makes the same model",
    }
    HEADLINE: ClassVar[str] = "loss"
    """The curve that tells how the training goes; what is watched goes by it."""
    LATER = StageSettings.LATER | {"activation_checkpointing", "validation"}

    @classmethod
    def explain_unknown(cls, name: str) -> str:
        """What is wrong with a key that is none of this block's."""
        if name in SET_BY_ORCH:
            return f"{name} is not set in a recipe: {SET_BY_ORCH[name]}"
        return unknown("key", name, [n for n in cls.model_fields if n != "further"], cls.ARGUMENTS)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Put TRL's further arguments in one place; what is no argument either is left to be refused."""
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
        """How many of a step's forward passes are dealt out to workers; those that get the same one divide its rows."""
        return math.gcd(self.gradient_accumulation_steps, self.resources.workers)

    @property
    def shared_batch(self) -> tuple[int, int]:
        """The rows of a forward pass of each worker, and its forward passes of one optimizer step.

        Together they take the rows that one worker would take. Its forward passes are dealt out to them; only where
        these are too few, the rows of a forward pass are divided.

        Raises:
            ValueError: the rows of a step cannot be divided by the workers.
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
        """Whether random numbers are drawn while it trains, which each worker draws for itself."""
        dropout = self.lora is not None and self.lora.lora_dropout > 0
        return dropout or bool(self.further.get("neftune_noise_alpha"))

    @property
    def asks_for_lora(self) -> bool:
        """Whether the recipe itself describes an adapter, rather than leaving it at the default."""
        return self.lora is not None and "lora" in self.model_fields_set

    def batches(self, rows: int) -> int:
        """The batches of one epoch on one device, as TRL counts them; 0 where no batch is full."""
        size = self.per_device_train_batch_size
        return rows // size if self.further.get("dataloader_drop_last") else math.ceil(rows / size)

    def steps(self, rows: int) -> int:
        """The optimizer steps of a training on that many rows or questions."""
        if self.max_steps is not None:
            return self.max_steps
        an_epoch = max(1, math.ceil(self.batches(rows) / self.gradient_accumulation_steps))
        return math.ceil((self.num_train_epochs or self.DEFAULT_EPOCHS) * an_epoch)

    def settings(self) -> dict[str, object]:
        """As every stage's; the default adapter is none of the settings, however it is written."""
        lora = "full" if self.lora is None else None if self.lora == Lora() else self.lora.model_dump(mode="json")
        return super().settings() | {"lora": lora}

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A block that reads as this one again: a default adapter is not written, none at all is written as null."""
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
    """Tokens of prompt and target; a longer row is an error, never cut in silence."""
    answer_weight: PositiveFloat = 1.0
    """How much a token of the answer, from what opens it to the end of text, weighs against one of the reasoning."""

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
    """Group relative policy optimisation (TRL's GRPOTrainer); the reward is the task's judge: 1 or 0."""

    learning_rate: PositiveFloat = 1e-5
    per_device_train_batch_size: Positive = 64
    """Completions in a batch, as TRL counts: questions in a step = this x accumulation / num_generations."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Completions of each question: the group within which rewards are compared."""
    num_iterations: Positive = 1
    """Updates on each batch of completions."""
    max_completion_length: Positive = 256
    """Tokens of a completion at the most."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it: above 1 draws differ more, below 1 less."""
    top_p: Fraction = 1.0
    """Only the most probable tokens that come to this probability together are drawn from."""
    beta: NonNegative = 0.0
    """Weight of the KL divergence from the model that training starts from; 0: that model is not loaded."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    """How the tokens of completions of different length are weighed, under TRL's names."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """By what advantages are divided: the standard deviation in a group, in a batch, or nothing."""
    epsilon: PositiveFloat = 0.2
    """Half the width of the range in which the probability ratio is not clipped."""
    mask_truncated_completions: bool = False
    """Leave completions that were cut off out of the loss."""

    ARGUMENTS = GRPO_ARGUMENTS
    DEFAULT_EPOCHS = 1
    HEADLINE = "reward"

    @property
    def draws_numbers(self) -> bool:
        """Its completions."""
        return True

    @property
    def completions_at_once(self) -> int:
        """Completions that are drawn at a time: TRL's generation_batch_size."""
        own, a_generation = self.further.get("generation_batch_size"), self.further.get("steps_per_generation")
        if isinstance(own, int):
            return own
        batches = a_generation if isinstance(a_generation, int) else self.gradient_accumulation_steps
        return self.per_device_train_batch_size * batches

    @property
    def questions_at_once(self) -> int:
        """The questions that completions are drawn for at a time; fewer than these make no step at all."""
        return self.completions_at_once // self.num_generations

    def batches(self, rows: int) -> int:
        """As TRL counts them; `rows` are questions."""
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
