"""Load a model and its tokenizer, with an adapter where it has one. The same code for every model and every stage."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from orchestrator.base_model import BaseModelRef
from orchestrator.errors import StageError
from orchestrator.model_ref import ModelRef
from orchestrator.stage_specs import Lora
from orchestrator.start_model import BASE_FILE, FORMAT_FILE

ADAPTER_FILE = "adapter_model.safetensors"


def device() -> torch.device:
    """CUDA where this process has been given one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """bfloat16 where the GPU has it, float16 on older ones, float32 on the CPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def load_tokenizer(base: BaseModelRef) -> Any:
    """The base model's tokenizer, padding on the left as generation needs it."""
    tokenizer = AutoTokenizer.from_pretrained(
        base.location, revision=base.revision, trust_remote_code=base.trust_remote_code, padding_side="left"
    )
    if tokenizer.eos_token_id is None:
        raise StageError(f"model {base.name}: its tokenizer has no end-of-text token, so no model could learn to stop")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is told apart by masks, never by its id
    return tokenizer


def load_base(base: BaseModelRef) -> Any:
    """The base model's weights on this process's device."""
    model = AutoModelForCausalLM.from_pretrained(
        base.location, revision=base.revision, trust_remote_code=base.trust_remote_code, dtype=dtype()
    )
    return model.to(device())


def load_trainable(ref: ModelRef, lora: Lora) -> Any:
    """A PEFT model to train: a new adapter on the base, or the model's own adapter taken further."""
    from peft import LoraConfig, PeftModel, get_peft_model

    model = load_base(ref.base)
    if ref.adapter is not None:
        return PeftModel.from_pretrained(model, _adapter_folder(ref), is_trainable=True)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora.arguments()))


def load_for_generation(ref: ModelRef) -> Any:
    """A model that only generates.

    In float32 the adapter is folded into the weights, which costs a rounding error of 1e-7 and makes each token
    cheaper; in half precision the rounding would be felt, so there it stays beside them.
    """
    model = load_base(ref.base)
    if ref.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, _adapter_folder(ref))
        if dtype() is torch.float32:
            model = model.merge_and_unload()
    return model.eval()


def save_adapter(model: Any, ref: ModelRef, folder: Path, answer_format: dict[str, Any]) -> None:
    """Write an adapter with the contract it was trained under beside it."""
    model.save_pretrained(folder)
    (folder / FORMAT_FILE).write_text(json.dumps(answer_format, indent=2) + "\n")
    (folder / BASE_FILE).write_text(json.dumps(asdict(ref.base), indent=2) + "\n")


def _adapter_folder(ref: ModelRef) -> str:
    assert ref.adapter is not None
    file = Path(ref.adapter) / ADAPTER_FILE
    if not file.is_file() or file.stat().st_size == 0:
        raise StageError(f"model {ref.name}: its adapter {file} is {'empty' if file.exists() else 'missing'}")
    return ref.adapter
