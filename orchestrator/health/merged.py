"""Whether a base model already contains an adapter, judged from its weights alone, without the original ones.

Weights that never saw an adapter are nearly orthogonal to the change D it adds: <W, D> / <D, D> is near 0, with a
standard deviation of 1 / sqrt(number of elements of W) x |W| / |D|. Weights it was merged into give 1; merged into
twice, 2. Measured on the embedded model: the median over its layers is 0.00 before merging, 0.98 after, and 0.78 if a
sibling of the adapter was merged that was trained on more rows.
"""

from collections.abc import Iterator
from statistics import median

import torch

_NEAR = 0.1
"""Largest distance from a whole number for the median over the layers ..."""
_LAYER, _MOST = 0.4, 0.8
"""... and for a single layer, and the share of layers that must be within the latter."""
_LEAST = 4
"""With fewer layers, nothing is concluded."""
_NOISE = 0.2
"""A layer whose deviation by chance is larger is ignored."""


def times_merged(layers: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> int:
    """Number of times an adapter was merged into a base; `layers` are its weights and the adapter's change to them."""
    held = []
    for weight, change in layers:
        size = float(change.norm())
        if size > 0 and float(weight.norm()) <= _NOISE * size * weight.numel() ** 0.5:
            held.append(float((weight * change).sum()) / size**2)
    if len(held) < _LEAST:
        return 0
    times = round(middle := median(held))
    alike = sum(abs(one - times) <= _LAYER for one in held)
    return times if times >= 1 and abs(middle - times) <= _NEAR and alike >= _MOST * len(held) else 0
