"""The engines a recipe may name, each loaded when it is asked for."""

from importlib import import_module
from typing import Annotated

from pydantic import AfterValidator

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import Engine
from orchestrator.schema import unknown

ENGINES = {
    "transformers": "orchestrator.sampling.transformers_engine:TransformersEngine",
    "vllm": "orchestrator.sampling.vllm_engine:VllmEngine",
}
"""For each engine where its class is: it is called with a model, and is an `Engine`."""


def make_engine(name: str, model: ModelRef) -> Engine:
    """The engine of that name with a model loaded."""
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(model)
    return engine


def _known(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(unknown("engine", name, ENGINES))
    return name


EngineName = Annotated[str, AfterValidator(_known)]
"""As a recipe writes it."""
