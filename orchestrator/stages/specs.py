"""The settings of each verb, as a recipe spells them. Pydantic only; nothing here runs anything.

Training settings carry TRL's own names, LoRA's are PEFT's, sampling's are vLLM's.
"""

import re
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
)

from orchestrator.schema import Fraction, Names, Positive, PositiveFloat, as_tuple
from orchestrator.training.settings import GrpoSpec, SftSpec, StageSpec

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""What a stage may be called: it becomes a run name, a tag and part of a metric's name."""


class SampleSpec(StageSpec):
    """Draw completions from a model; all of them are kept, each with its verdict."""

    type: Literal["sample"]
    model: str
    prompts: Literal["train", "demonstrations"] = "train"
    n: Positive = 8
    temperature: PositiveFloat = 1.0
    top_p: Fraction = 1.0
    max_tokens: Positive = 512
    batch_size: Positive = 256
    """Rows in one generate call; also the size of a shard, the unit of work that is never lost."""
    engine: Literal["transformers", "vllm"] = "transformers"

    NOT_IN_KEY = StageSpec.NOT_IN_KEY | {"model", "prompts"}


class SelectSpec(StageSpec):
    """Keep the completions worth training on."""

    type: Literal["select"]
    source: str = Field(alias="from")
    keep: Literal["correct", "random"] = "correct"
    """random: as many rows of each question as `correct` keeps, by lot from its draws, right or wrong: the control."""
    distinct: bool = True
    """Drop completions of a question that differ in white space only."""
    max_per_example: Positive | None = None
    allow_empty: bool = False
    """True: where no draw is correct, go on with none; otherwise that is an error."""

    NOT_IN_KEY = StageSpec.NOT_IN_KEY | {"source"}


class EvaluateSpec(StageSpec):
    """How every model is evaluated: greedily, on the same questions, with the same judge."""

    models: Names | None = None
    """Default: the base model and every model that a stage makes."""
    on: str = "test"
    """The split that models are compared on."""
    also: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Further splits that every model is asked, each with figures of its own: `longer/accuracy`."""
    max_tokens: Positive = 512
    batch_size: Positive = 256
    engine: Literal["transformers", "vllm"] = "transformers"

    NOT_IN_KEY = StageSpec.NOT_IN_KEY | {"models", "on", "also"}


STAGE_SPECS: dict[str, type[StageSpec]] = {
    "sft": SftSpec,
    "sample": SampleSpec,
    "select": SelectSpec,
    "grpo": GrpoSpec,
}
"""The verbs a recipe may name as a stage's `type`; `evaluate` has a block of its own."""
