"""The verbs of a recipe: one file each, one line each here."""

from orchestrator.stages import evaluate, grpo, sample, select, sft
from orchestrator.stages.base import Verb

STAGES: dict[str, Verb] = {
    "sft": sft,
    "sample": sample,
    "select": select,
    "grpo": grpo,
    "evaluate": evaluate,
}
