"""Do a training's weights move? A sample of them is kept from before the first step and compared later.

Cheap: a few hundred numbers of each tensor, compared once or a few times. Knows no rule and no finding.
"""

from typing import Any

import torch

_TENSORS, _NUMBERS = 256, 256
"""The largest number of tensors that are looked at, and of numbers of each."""
_FELT = 1e-10
"""A change below this is none: no weight of a model is so small that it would show."""


class Moving:
    """The weights that a model has to learn with, as they were when this was made."""

    def __init__(self, model: Any) -> None:
        trained = [p for p in model.parameters() if p.requires_grad and p.numel()]
        self.kept = [(tensor, _some(tensor)) for tensor in trained[:: len(trained) // _TENSORS + 1]]

    def share(self) -> float:
        """The share of weights that changed, each tensor counting the same; 1 where there is none to look at."""
        if not self.kept:
            return 1.0
        changed = [((_some(now) - before).abs() > _FELT).float().mean() for now, before in self.kept]
        return float(torch.stack([share.cpu() for share in changed]).mean())


@torch.no_grad()  # type: ignore[untyped-decorator]
def _some(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().flatten()
    return flat[:: flat.numel() // _NUMBERS + 1].clone().double()
