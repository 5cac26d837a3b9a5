"""The rule for which model the others are compared with."""

from collections.abc import Iterable, Mapping

from orchestrator.stages import verb_of
from orchestrator.types import BASE


def baseline_of(evaluated: Iterable[str], verbs: Mapping[str, str]) -> str:
    """The first evaluated model whose verb produces baselines (`sft`), otherwise the base model.

    `verbs` maps each stage that produces a model to its verb.
    """
    return next((model for model in evaluated if makes_baseline(verbs.get(model, ""))), BASE)


def makes_baseline(verb: str) -> bool:
    """Whether models of this verb serve as baselines."""
    kind = verb_of(verb)
    return kind is not None and kind.BASELINE
