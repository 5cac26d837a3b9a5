"""The verbs of a recipe: one file each, and one line each here."""

from orchestrator.stages.base import Verb
from orchestrator.stages.evaluate import Evaluate
from orchestrator.stages.grpo import Grpo
from orchestrator.stages.sample import Sample
from orchestrator.stages.select import Select
from orchestrator.stages.sft import Sft

STAGES: dict[str, type[Verb]] = {
    "sft": Sft,
    "sample": Sample,
    "select": Select,
    "grpo": Grpo,
}
"""The verbs that a stage may have as its `type`."""


EVALUATE = "evaluate"
"""The verb of the block that defines how models are evaluated."""


def verb_of(name: str) -> type[Verb] | None:
    """The verb of that name, including `evaluate`, which has its own block; None: this version has no such verb."""
    return Evaluate if name == EVALUATE else STAGES.get(name)


def every_verb() -> tuple[type[Verb], ...]:
    """All verbs."""
    return (*STAGES.values(), Evaluate)
