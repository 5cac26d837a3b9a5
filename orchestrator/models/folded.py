"""Fold an adapter into the weights while a model in training generates.

Three products for each layer become one. Afterwards the weights are restored bit for bit: subtracting the added update
would leave its rounding error in them, a little more at each step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from orchestrator.models.loading import tied_targets


@contextmanager
def folded(model: Any) -> Iterator[None]:
    """A context in which a float32 PeftModel has its LoRA adapter in its weights; any other model is left as it is.

    It costs a copy of the layers that the adapter changes. In half precision the rounding error would matter, and
    weights shared with another layer would change there too; adapters on anything but linear layers are left as they
    are.
    """
    layers = _layers(model)
    kept = [(layer, layer.get_base_layer().weight.data) for layer in layers]
    try:
        for layer, weight in kept:
            layer.get_base_layer().weight.data = weight.clone()
            layer.merge()
        yield
    finally:
        for layer, weight in kept:
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()


def _layers(model: Any) -> list[Any]:
    """The layers that an adapter can be folded into; empty if it must not be."""
    from peft import PeftModel
    from peft.tuners.lora import Linear, LoraLayer

    if not isinstance(model, PeftModel) or tied_targets(model):
        return []
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    plain = all(type(layer) is Linear and layer.get_base_layer().weight.dtype is torch.float32 for layer in layers)
    return layers if plain else []
