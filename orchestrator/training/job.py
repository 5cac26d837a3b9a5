"""What a training job is given; light enough for the driver to hold."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.answers.formats import AnswerFormat
from orchestrator.models.reference import ModelRef
from orchestrator.tasks import Task
from orchestrator.training.settings import TrainingSettings
from orchestrator.types import Example

MODEL_FOLDER = "model"
"""Where a training leaves its model, inside its work folder."""
CHOSEN_FILE = "chosen.json"
"""Beside it, where there was a choice: the step whose model it is, and why."""


@dataclass(frozen=True, slots=True)
class ValidationJob:
    """The questions that a training is looked at with, and how they are asked: as `evaluate` asks."""

    task: Task
    examples: tuple[Example, ...]
    max_tokens: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training, as a worker gets it."""

    work: Path
    model: ModelRef
    answer_format: AnswerFormat
    spec: TrainingSettings
    seed: int
    cpus: int
    stop_on: tuple[str, ...] = field(default=(), kw_only=True)
    """Findings that end the training (`limits.stop_on`)."""
    validation: ValidationJob | None = field(default=None, kw_only=True)
    """Where the stage has a `validation`."""
