"""What a training job is given; light enough for the driver to hold."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.answers.format import AnswerFormat
from orchestrator.model_ref import ModelRef
from orchestrator.stage_specs import TrainingSpec

MODEL_FOLDER = "model"
"""Where a training leaves its model, inside its work folder."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training, as a worker gets it."""

    work: Path
    model: ModelRef
    answer_format: AnswerFormat
    spec: TrainingSpec
    seed: int
    cpus: int
    stop_on: tuple[str, ...] = field(default=(), kw_only=True)
    """Findings that end the training (`limits.stop_on`)."""
