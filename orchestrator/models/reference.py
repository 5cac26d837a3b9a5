"""A reference to a model that components pass to each other before any weights are loaded."""

from dataclasses import dataclass

from orchestrator.models.base import BaseModelRef


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A whole model, or a base with an adapter."""

    name: str
    base: BaseModelRef
    adapter: str | None = None
    """The adapter's folder."""
