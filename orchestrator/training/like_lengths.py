"""Score completions in groups of similar length: on a CPU, padding costs as much as text.

In a single batch every completion is as wide as the longest, and usually one of them was cut off at the limit.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import pad

_ROWS = 32
"""Rows per group: fewer rows mean less padding, but too few leave cores idle."""

_Scored = tuple[torch.Tensor, torch.Tensor | None]
"""The log-probability of each completion token, and the entropy of its distribution; shape (rows, tokens)."""


def in_groups(
    score: Callable[[torch.Tensor, torch.Tensor, int], _Scored], ids: torch.Tensor, mask: torch.Tensor, kept: int
) -> tuple[torch.Tensor, torch.Tensor | None, None]:
    """The result of `score(ids, mask, kept)`, computed one group at a time; 0 where a whole group is padding.

    Each row is a prompt, padded on the left, and a completion of `kept` tokens, padded on the right. The third value
    is the auxiliary loss of a mixture of experts, which is always None here.
    """
    order = mask[:, -kept:].sum(dim=1).argsort(stable=True)
    found = [_trimmed(score, ids[rows], mask[rows], kept) for rows in order.split(_ROWS)]
    back = order.argsort()
    entropies = [entropy for _, entropy in found if entropy is not None]
    return torch.cat([logps for logps, _ in found])[back], torch.cat(entropies)[back] if entropies else None, None


def _trimmed(
    score: Callable[[torch.Tensor, torch.Tensor, int], _Scored], ids: torch.Tensor, mask: torch.Tensor, kept: int
) -> _Scored:
    """The scores of a group, computed without the trailing columns that are padding in every row.

    Leading padding stays: some models count a token's position from there.
    """
    width = mask.shape[1]
    last = max(int(mask.any(dim=0).nonzero()[-1]), width - kept)
    missing = (0, width - 1 - last)
    logps, entropies = score(ids[:, : last + 1], mask[:, : last + 1], kept - missing[1])
    return pad(logps, missing), None if entropies is None else pad(entropies, missing)
