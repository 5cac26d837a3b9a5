"""Does a text come from a model? Its tokens are compared with what the model's own logits put first.

A greedy completion is, token by token, the one with the highest logit after those before it. So a text that a model
did not write (a table answered, another adapter was loaded, padding stood in the way) gives itself away without being
generated again: one forward pass over prompt and text, with no cache, no batch and no padding.
"""

from collections.abc import Sequence
from typing import Any

import torch

_NEAR, _NEAR_HALF = 1e-2, 0.3
"""Logits this close to the highest count as the highest: rounding and batch shape may swap them."""


@torch.inference_mode()  # type: ignore[untyped-decorator]
def agreement(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> float:
    """The share of texts every token of which has the highest logit; `rows` are (prompt ids, text ids), text not empty.

    A text whose end is not in `rows` is judged on the tokens that are.
    """
    return sum(_follows(model, prompt, text) for prompt, text in rows) / len(rows)


def _follows(model: Any, prompt: list[int], text: list[int]) -> bool:
    ids = torch.tensor([prompt + text], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    chosen = logits.gather(1, ids[0, len(prompt) :].unsqueeze(1)).squeeze(1)
    near = _NEAR if model.dtype is torch.float32 else _NEAR_HALF
    return bool((chosen >= logits.max(dim=1).values - near).all())
