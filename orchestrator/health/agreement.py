"""Tests whether a text comes from a model, by comparing its tokens with the model's own top logits.

Each token of a greedy completion is the one with the highest logit after the tokens before it. So a text that a model
did not write (a lookup table answered, another adapter was loaded, padding interfered) gives itself away without being
regenerated: one forward pass over prompt and text suffices, with no cache, no batch and no padding.

Tokens are counted, not texts: in half precision, on another device or in a batch of another shape, a token that was a
close second occasionally comes first, and one such token proves nothing against hundreds of others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_NEAR = 0.3
"""Logits this close to the highest count as the highest: between 16 and 32, bfloat16 numbers are 0.125 apart."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A completion and its prompt, as token ids."""

    prompt: tuple[int, ...]
    """Never empty."""
    text: tuple[int, ...]
    """Without the end of text."""
    ended: bool
    """Whether the model ended the text itself."""
    hidden: int = 0
    """Number of tokens at the end of the prompt that are masked, as padding is."""
    restarts: bool = False
    """Whether positions are counted from the last hidden token, as `generate` does since transformers 5."""


@torch.inference_mode()  # type: ignore[untyped-decorator]
def agreement(model: Any, passages: Sequence[Passage], stops: Sequence[int]) -> float:
    """The share of tokens, over all passages, that have the highest logit or one close to it.

    The end of a passage that the model ended counts as one more token: the likeliest of `stops`, the tokens that end a
    text.
    """
    counted = counts(model, passages, stops)
    near, total = (sum(numbers) for numbers in zip(*counted, strict=True))
    return float(near / total)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def counts(model: Any, passages: Sequence[Passage], stops: Sequence[int]) -> list[tuple[int, int]]:
    """For each passage: the number of tokens that have the highest logit or one close to it, and of all tokens."""
    counted = []
    for passage in passages:
        ids = torch.tensor([passage.prompt + passage.text], device=model.device)
        more = _masked(passage, model.device) if passage.hidden else {}
        logits = model(input_ids=ids, use_cache=False, **more).logits[0, len(passage.prompt) - 1 :].float()
        n = len(passage.text)
        chosen = logits[:n].gather(1, ids[0, len(passage.prompt) :].unsqueeze(1)).squeeze(1)
        if passage.ended:
            chosen = torch.cat([chosen, logits[n, list(stops)].max().unsqueeze(0)])
        near = int((chosen >= logits[: len(chosen)].max(dim=1).values - _NEAR).sum())
        counted.append((near, len(chosen)))
    return counted


def _masked(passage: Passage, device: Any) -> dict[str, torch.Tensor]:
    """Mask and positions as `generate` computes them if padding follows a prompt."""
    begin = len(passage.prompt)
    mask = torch.ones((1, begin + len(passage.text)), dtype=torch.long, device=device)
    mask[0, begin - passage.hidden : begin] = 0
    places = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    if passage.restarts:
        places[0, begin:] = torch.arange(1, len(passage.text) + 1, device=device)
    return {"attention_mask": mask, "position_ids": places}


@torch.inference_mode()  # type: ignore[untyped-decorator]
def greedy(model: Any, prompt: Sequence[int], stops: Sequence[int], most: int) -> Passage:
    """A model's completion of a prompt, at most `most` tokens, from its logits alone: `generate` is not involved."""
    ids, cache = torch.tensor([list(prompt)], device=model.device), None
    written: list[int] = []
    while len(written) < most:
        made = model(input_ids=ids, past_key_values=cache, use_cache=True)
        token = int(made.logits[0, -1].argmax())
        if token in stops:
            return Passage(tuple(prompt), tuple(written), True)
        written.append(token)
        ids, cache = torch.tensor([[token]], device=model.device), made.past_key_values
    return Passage(tuple(prompt), tuple(written), False)
