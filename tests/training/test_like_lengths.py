"""Completions that are scored in groups give the same results as in one batch, and cost less."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from orchestrator.models.base import TINY
from orchestrator.training.like_lengths import in_groups

PROMPT, KEPT, ROWS = 12, 30, 70


@pytest.fixture
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)


def batch(lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ids = torch.randint(5, 300, (ROWS, PROMPT + KEPT))
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths.tolist()):
        mask[row, PROMPT - 3 - row % 6 : PROMPT + length] = 1
    return ids, mask


def scorer(model: Any, with_entropy: bool, seen: list[int]) -> Callable[..., Any]:
    def score(ids: torch.Tensor, mask: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        seen.append(ids.numel())
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -kept - 1 : -1]
        logps = logits.log_softmax(-1)
        chosen = logps.gather(2, ids[:, -kept:, None]).squeeze(2)
        return chosen, -(logps.exp() * logps).sum(-1) if with_entropy else None

    return score


@pytest.mark.parametrize("with_entropy", [True, False])
@pytest.mark.parametrize("lengths", ["many", "none is as long as it might be", "some are empty"])
def test_values_and_gradients_are_those_of_one_batch(model: Any, lengths: str, with_entropy: bool) -> None:
    torch.manual_seed(1)
    most = {"many": KEPT, "none is as long as it might be": 9, "some are empty": 2}[lengths]
    long = torch.randint(0 if lengths == "some are empty" else 1, most + 1, (ROWS,))
    ids, mask = batch(long)
    weights = torch.rand(ROWS, KEPT) * mask[:, -KEPT:]
    whole, parts = [], []
    found = {}
    for name, seen in (("whole", whole), ("parts", parts)):
        model.zero_grad()
        score = scorer(model, with_entropy, seen)
        logps, entropy = score(ids, mask, KEPT) if name == "whole" else in_groups(score, ids, mask, KEPT)[:2]
        assert logps.shape == (ROWS, KEPT) and (entropy is None) != with_entropy
        ((logps if entropy is None else logps + entropy) * weights).sum().backward()
        found[name] = (logps.detach(), {n: p.grad.clone() for n, p in model.named_parameters()})
    seen_mask = mask[:, -KEPT:].bool()
    assert torch.allclose(found["whole"][0][seen_mask], found["parts"][0][seen_mask], atol=1e-4)
    for name, gradient in found["whole"][1].items():
        assert torch.allclose(gradient, found["parts"][1][name], atol=1e-3 * float(gradient.abs().max()) + 1e-6), name
    assert sum(parts) < sum(whole)
