"""The settings of a model in a recipe: where it comes from, and its adapter. Pydantic only."""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.schema import Positive, Spec


class ModelSpec(Spec):
    """The model that training starts from."""

    name: str = Field(min_length=1, max_length=4096)
    """`tiny` (ships with orch), a folder, or a Hub id such as Qwen/Qwen2.5-0.5B-Instruct."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """The dtype to compute in; auto: bfloat16 if the GPU supports it, float16 on older ones, float32 on the CPU."""


class Lora(Spec):
    """LoRA settings, under PEFT's names."""

    r: Positive = 16
    """The rank."""
    lora_alpha: Positive = 32
    """The update is scaled by lora_alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs that is dropped during training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """The names of the modules that get an adapter; `all-linear`: all linear ones except the output layer."""
    bias: Literal["none"] = "none"
    """No bias is trained."""

    def arguments(self) -> dict[str, Any]:
        """The settings as arguments for PEFT's LoraConfig."""
        found = self.model_dump()
        if isinstance(self.target_modules, tuple):
            found["target_modules"] = list(self.target_modules)
        return found
