"""The one rule for what other models are compared with."""

from collections.abc import Iterable, Mapping

from orchestrator.stages import verb_of
from orchestrator.types import BASE


def baseline_of(evaluated: Iterable[str], verbs: Mapping[str, str]) -> str:
    """The first evaluated model of a verb that makes baselines (`sft`), else the base model.

    `verbs` names the verb of each stage that has made a model.
    """
    return next((model for model in evaluated if makes_baseline(verbs.get(model, ""))), BASE)


def makes_baseline(verb: str) -> bool:
    """Whether models of that verb are what others are compared with."""
    kind = verb_of(verb)
    return kind is not None and kind.BASELINE
