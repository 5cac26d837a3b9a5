"""The engines a recipe may name, each loaded when it is asked for."""

from collections.abc import Callable

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import Engine


def _transformers(model: ModelRef) -> Engine:
    from orchestrator.sampling.transformers_engine import TransformersEngine

    return TransformersEngine(model)


def _vllm(model: ModelRef) -> Engine:
    from orchestrator.sampling.vllm_engine import VllmEngine

    return VllmEngine(model)


ENGINES: dict[str, Callable[[ModelRef], Engine]] = {"transformers": _transformers, "vllm": _vllm}
