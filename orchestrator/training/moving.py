"""Whether a training's weights move: a sample is taken before the first step and compared later.

Cheap: a few hundred numbers per tensor, compared once or a few times. Knows no rules and no findings.
"""

from typing import Any

import torch

_TENSORS, _NUMBERS = 256, 256
"""Maximum number of tensors to sample, and of numbers per tensor."""
_FELT = 1e-10
"""A smaller change counts as none: no weight of a model is small enough for it to matter."""


class Moving:
    """A sample of a model's trainable weights, as they were when this object was created."""

    def __init__(self, model: Any) -> None:
        trained = [p for p in model.parameters() if p.requires_grad and p.numel()]
        self.kept = [(tensor, _some(tensor)) for tensor in trained[:: len(trained) // _TENSORS + 1]]

    def share(self) -> float:
        """Share of weights that changed, with every tensor counting the same; 1 if there are none to compare."""
        if not self.kept:
            return 1.0
        changed = [((_some(now) - before).abs() > _FELT).float().mean() for now, before in self.kept]
        return float(torch.stack([share.cpu() for share in changed]).mean())


@torch.no_grad()  # type: ignore[untyped-decorator]
def _some(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().flatten()
    return flat[:: flat.numel() // _NUMBERS + 1].clone().double()
