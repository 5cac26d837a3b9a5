"""The inputs of a training job; light enough for the driver to import."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.answers.formats import AnswerFormat
from orchestrator.models.reference import ModelRef
from orchestrator.tasks import Task
from orchestrator.training.settings import TrainingSettings
from orchestrator.types import Example

MODEL_FOLDER = "model"
"""The folder of the trained model, inside the training's work folder."""
CHOSEN_FILE = "chosen.json"
"""The file beside it, if there was a choice of checkpoints: the step of the chosen model, and why."""


@dataclass(frozen=True, slots=True)
class ValidationJob:
    """The questions that a training is validated on, with the same settings as `evaluate`."""

    task: Task
    examples: tuple[Example, ...]
    max_tokens: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training, as passed to a worker."""

    work: Path
    model: ModelRef
    answer_format: AnswerFormat
    spec: TrainingSettings
    seed: int
    cpus: int
    stop_on: tuple[str, ...] = field(default=(), kw_only=True)
    """Findings that end the training (`limits.stop_on`)."""
    validation: ValidationJob | None = field(default=None, kw_only=True)
    """Set if the stage has a `validation`."""
