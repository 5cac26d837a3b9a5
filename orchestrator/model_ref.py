"""How the parts name a model to each other, before any weights are loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base_model import BaseModelRef, made_model
from orchestrator.lineage import whole_stage
from orchestrator.recipe import BASE, Recipe
from orchestrator.start_model import StartModel


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A whole model, or one with an adapter on it."""

    name: str
    base: BaseModelRef
    adapter: str | None = None
    """The folder of the adapter."""


def find_model(recipe: Recipe, start: StartModel, name: str, folder: Callable[[str], Path]) -> ModelRef:
    """The model of that name in a recipe; `folder` says where a stage has left its model.

    Raises:
        ModelError: the whole model that it stands on is not there.
    """
    if name == BASE:
        return ModelRef(BASE, start.base, start.adapter)
    whole = whole_stage(recipe.stages, name)
    base = start.base if whole is None else made_model(folder(whole), start.base)
    return ModelRef(name, base, None if whole == name else str(folder(name)))
