"""The verbs of a recipe: one file each, one line each here."""

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
"""The verbs that a stage of a recipe may have as its `type`."""


EVALUATE = "evaluate"
"""The verb of the block that says how models are evaluated."""


def verb_of(name: str) -> type[Verb] | None:
    """The verb of that name, `evaluate` among them, which has a block of its own; None: none of this version's."""
    return Evaluate if name == EVALUATE else STAGES.get(name)


def every_verb() -> tuple[type[Verb], ...]:
    """All verbs."""
    return (*STAGES.values(), Evaluate)
