"""How the parts name a model to each other, before any weights are loaded."""

from dataclasses import dataclass

from orchestrator.models.base import BaseModelRef


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A whole model, or one with an adapter on it."""

    name: str
    base: BaseModelRef
    adapter: str | None = None
    """The folder of the adapter."""
