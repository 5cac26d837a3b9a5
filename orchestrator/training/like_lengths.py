"""Score completions in groups of like length: a CPU pays for padding as it does for words.

In one batch every completion is as wide as the longest, and mostly one of them was cut off at the limit.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import pad

_ROWS = 32
"""Rows of a group: fewer leave less padding, and too few leave the cores idle."""

_Scored = tuple[torch.Tensor, torch.Tensor | None]
"""For each token of a completion its log-probability, and the entropy it was drawn at; shape (rows, tokens)."""


def in_groups(
    score: Callable[[torch.Tensor, torch.Tensor, int], _Scored], ids: torch.Tensor, mask: torch.Tensor, kept: int
) -> tuple[torch.Tensor, torch.Tensor | None, None]:
    """What `score(ids, mask, kept)` gives of these rows, a group at a time; 0 where the mask is 0.

    Rows are a prompt, padded on the left, and a completion of `kept` tokens, padded on the right. The third value is
    the loss of a mixture of experts, which is none here.
    """
    order = mask[:, -kept:].sum(dim=1).argsort(stable=True)
    found = [_trimmed(score, ids[rows], mask[rows], kept) for rows in order.split(_ROWS)]
    back = order.argsort()
    entropies = [entropy for _, entropy in found if entropy is not None]
    return torch.cat([logps for logps, _ in found])[back], torch.cat(entropies)[back] if entropies else None, None


def _trimmed(
    score: Callable[[torch.Tensor, torch.Tensor, int], _Scored], ids: torch.Tensor, mask: torch.Tensor, kept: int
) -> _Scored:
    """The same without the columns at the end that are padding in every row.

    Those at the beginning stay: some models count a token's position from there.
    """
    width = mask.shape[1]
    last = max(int(mask.any(dim=0).nonzero()[-1]), width - kept)
    missing = (0, width - 1 - last)
    logps, entropies = score(ids[:, : last + 1], mask[:, : last + 1], kept - missing[1])
    return pad(logps, missing), None if entropies is None else pad(entropies, missing)
