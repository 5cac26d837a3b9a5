"""The engines that a recipe may name, each loaded on the worker that uses it. Light: the driver imports this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import Engine, Room
from orchestrator.sampling.vllm_arguments import ARGUMENTS, CHANGE_TEXTS, SET_BY_ORCH
from orchestrator.schema import unknown

AUTO = "auto"
_GPUS = Path("/proc/driver/nvidia/gpus")
"""Where Linux lists the GPUs that vLLM can use."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """The properties of an engine that are known before it is loaded."""

    place: str
    """Its module and class: an `Engine` constructed from a model and a `Room`."""
    swaps_adapters: bool = False
    """Whether it can switch to another adapter on the same base, once it has had one."""
    streams: bool = False
    """Whether it starts the next shard while the last rows of one are still generated: then give it several at once."""
    arguments: frozenset[str] = frozenset()
    """The names allowed in its `engine_args`."""
    in_key: frozenset[str] = frozenset()
    """Those of them that change the output."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Its arguments that a recipe may not set, each with the reason."""

    def problems(self, name: str, given: Mapping[str, Any], deterministic: bool) -> list[str]:
        """What is wrong with these `engine_args` for the engine of that name, and with making it `deterministic`."""
        found = []
        if deterministic and not self.arguments:
            found.append(f"deterministic changes nothing with engine {name}: leave it out, or set engine: vllm")
        if given and not self.arguments:
            return [
                *found,
                f"engine_args: engine {name} takes none (auto may have selected it); set engine: vllm",
            ]
        for argument in given:
            if argument in self.refused:
                found.append(f"engine_args.{argument} is not set in a recipe: {self.refused[argument]}")
            elif argument not in self.arguments:
                found.append(f"engine_args: {unknown('argument', argument, self.arguments)}")
        return found


ENGINES = {
    "transformers": EngineKind("orchestrator.sampling.transformers_engine:TransformersEngine"),
    "vllm": EngineKind(
        "orchestrator.sampling.vllm_engine:VllmEngine",
        swaps_adapters=True,
        streams=True,
        arguments=ARGUMENTS | CHANGE_TEXTS,
        in_key=CHANGE_TEXTS,
        refused=SET_BY_ORCH,
    ),
}
"""The engines by name."""


def make_engine(name: str, model: ModelRef, room: Room) -> Engine:
    """The engine of that name with a model loaded."""
    module, _, attribute = ENGINES[name].place.partition(":")
    engine: Engine = getattr(import_module(module), attribute)(model, room)
    return engine


def loaded(name: str, model: ModelRef, room: Room) -> str:
    """An identifier of the engine with a model loaded: the same for models between which it can switch."""
    if ENGINES[name].swaps_adapters:
        if room.gpus > 1:  # it has its own processes, which keep writing to the log of the stage that started them
            return ""
        model = ModelRef("", model.base, model.adapter and "another")
    return f"{name} {model} {room}"


def chosen(name: str) -> str:
    """The engine that a recipe selects: for `auto`, vllm if it is installed and this machine has a GPU for it."""
    if name == AUTO:
        return "vllm" if _GPUS.is_dir() and any(_GPUS.iterdir()) and find_spec("vllm") else "transformers"
    if name not in ENGINES:
        raise ValueError(unknown("engine", name, [AUTO, *ENGINES]))
    return name


EngineName = Annotated[str, AfterValidator(chosen)]
"""An engine's name in a recipe."""
