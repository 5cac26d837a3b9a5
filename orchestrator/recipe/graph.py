"""Dependencies between stages, and the base of each model: the recipe's own, or one that a stage has trained whole.

Knows only the stages' settings; callers know where things are stored.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from orchestrator.models.base import made_model
from orchestrator.models.reference import ModelRef
from orchestrator.models.start import StartModel
from orchestrator.stages.base import Verb
from orchestrator.stages.training import Training
from orchestrator.types import BASE


def behind(stages: Mapping[str, Verb], models: Iterable[str]) -> list[str]:
    """The stages behind some models: their own and all that these depend on, in the recipe's order."""
    found, queue = set(), list(models)
    while queue:
        name = queue.pop()
        if name in stages and name not in found:
            found.add(name)
            queue += [reference.stage for reference in stages[name].references()]
    return [name for name in stages if name in found]


def whole_stage(stages: Mapping[str, Verb], model: str) -> str | None:
    """The stage that trained the whole model that `model` is, or that its adapter is based on; None: the recipe's."""
    seen: set[str] = set()
    while model not in seen and isinstance(spec := stages.get(model), Training):
        if spec.lora is None:
            return model
        seen.add(model)
        model = spec.model
    return None


def is_adapter(stages: Mapping[str, Verb], model: str) -> bool:
    """Whether a stage made `model` as an adapter, on which further training continues as it is."""
    return isinstance(stages.get(model), Training) and whole_stage(stages, model) != model


def find_model(stages: Mapping[str, Verb], start: StartModel, name: str, folder: Callable[[str], Path]) -> ModelRef:
    """The model of that name in a recipe; `folder` maps a stage to the folder of its model.

    Raises:
        ModelError: the whole model that it is based on does not exist.
    """
    if name == BASE:
        return ModelRef(BASE, start.base, start.adapter)
    whole = whole_stage(stages, name)
    base = start.base if whole is None else made_model(folder(whole), start.base)
    return ModelRef(name, base, None if whole == name else str(folder(name)))
