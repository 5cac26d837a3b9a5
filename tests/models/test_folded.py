"""An adapter that is temporarily merged into the weights."""

import warnings
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from orchestrator.models.base import TINY
from orchestrator.models.folded import folded

IDS = torch.arange(5, 45).reshape(4, 10)


def adapted(dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=dtype)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, **{"target_modules": "all-linear"} | settings))
    for name, value in model.named_parameters():
        if "lora_B" in name or "lora_embedding_B" in name:
            value.data.normal_(0, 0.05)
    return model.eval()


def mixture() -> Any:
    """A mixture of experts, whose weights are not linear layers."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen3_moe",
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
    )
    model = AutoModelForCausalLM.from_config(config)
    with warnings.catch_warnings():  # PEFT itself adds patterns for a projection that it then does not find
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match any targeted module")
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")).eval()


def products(model: Any) -> int:
    """Number of matrix products in one pass."""
    count = 0

    def seen(*_: Any) -> None:
        nonlocal count
        count += 1

    hooks = [m.register_forward_hook(seen) for m in model.modules() if type(m) is torch.nn.Linear]
    with torch.no_grad():
        model(IDS)
    for hook in hooks:
        hook.remove()
    return count


def test_it_computes_the_same_with_fewer_products_and_leaves_no_trace() -> None:
    model = adapted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        beside = model(IDS).logits
        many = products(model)
        for _ in range(3):
            with folded(model):
                inside = model(IDS).logits
                few = products(model)
        assert torch.equal(model(IDS).logits, beside), "no trace of it is left"
    assert torch.allclose(inside, beside, atol=1e-4) and not torch.equal(inside, beside)
    assert few * 3 == pytest.approx(many, abs=2)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_an_error_inside_unfolds_it_too() -> None:
    model = adapted()
    with torch.no_grad():
        beside = model(IDS).logits
        with pytest.raises(KeyError), folded(model):
            raise KeyError
        assert torch.equal(model(IDS).logits, beside)


def test_it_trains_on_afterwards() -> None:
    model = adapted().train()
    with torch.no_grad(), folded(model):
        model(IDS)
    model(IDS).logits.float().logsumexp(-1).mean().backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert gradients and all("lora_" in name for name in gradients)
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients.values())


@pytest.mark.parametrize("model", ["half precision", "shared weights", "no adapter", "experts"])
def test_where_it_must_not_be_folded_it_is_not(model: str) -> None:
    made = {
        "half precision": lambda: adapted(torch.bfloat16),
        "shared weights": lambda: adapted(target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True),
        "experts": mixture,
        "no adapter": lambda: AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval(),
    }[model]()
    with torch.no_grad():
        beside = made(IDS).logits
        with folded(made):
            assert torch.equal(made(IDS).logits, beside)
