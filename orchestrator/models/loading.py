"""Load a model and its tokenizer, with its adapter if it has one. The same code for every model and every stage."""

import gc
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from orchestrator.errors import StageError
from orchestrator.models.base import BaseModelRef
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import Lora
from orchestrator.models.start import ADAPTER_FILE, BASE_FILE, FORMAT_FILE
from orchestrator.store.file_soundness import damage

_SAMPLE = "Is 3.5 km more than 3,400 m?\n<answer>yes</answer>  été\n\n#### 42 {}"
"""Text to check a saved tokenizer with: spaces, line breaks, digits, accents."""


def device() -> torch.device:
    """CUDA if this process has a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype(wanted: str = "auto") -> torch.dtype:
    """The dtype to compute in; auto: bfloat16 if the GPU supports it, else float16, float32 on the CPU."""
    if wanted != "auto":
        return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[wanted]
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def free_memory() -> None:
    """Release the memory of models that are no longer referenced, including GPU memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def config_of(base: BaseModelRef) -> Any:
    """The base model's configuration."""
    return AutoConfig.from_pretrained(base.read_from, revision=base.revision, trust_remote_code=base.trust_remote_code)


def context_of(config: Any) -> int | None:
    """Maximum context length of a model in tokens; None if its configuration does not give it."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else None


def load_tokenizer(base: BaseModelRef) -> Any:
    """The base model's tokenizer, padding on the left as generation needs it."""
    tokenizer = AutoTokenizer.from_pretrained(
        base.read_from, revision=base.revision, trust_remote_code=base.trust_remote_code, padding_side="left"
    )
    if tokenizer.eos_token_id is None:
        raise StageError(f"model {base.name}: its tokenizer has no end-of-text token, so no model could learn to stop")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is marked by masks, never by its id
    return tokenizer


def load_base(base: BaseModelRef, kept_in: torch.dtype | None = None) -> Any:
    """The base model's weights on this process's device, in the dtype `kept_in` if given, else in the base's dtype."""
    model = AutoModelForCausalLM.from_pretrained(
        base.read_from,
        revision=base.revision,
        trust_remote_code=base.trust_remote_code,
        dtype=kept_in or dtype(base.dtype),
    )
    return model.to(device())


def load_trainable(ref: ModelRef, lora: Lora | None) -> Any:
    """A model to train: a new adapter on the base, or the model's own adapter, to be trained further.

    If `lora` is None, it is the whole model, with its adapter merged into it. Its weights are kept in float32, since
    steps of 1e-5 are lost in half precision, while the trainer computes in the recipe's dtype.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    if lora is None:
        model = load_base(ref.base, torch.float32)
        if ref.adapter is not None:
            model = PeftModel.from_pretrained(model, _adapter_folder(ref))
            if tied := tied_targets(model):
                raise StageError(
                    f"model {ref.name}: its adapter cannot be merged: {tied[0]} shares its weights with another layer, "
                    "which would be changed too; train the adapter itself (leave lora out)"
                )
            model = model.merge_and_unload()
        return model.requires_grad_(True)  # PEFT had frozen them
    model = load_base(ref.base)
    if ref.adapter is not None:
        return PeftModel.from_pretrained(model, _adapter_folder(ref), is_trainable=True)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora.arguments()))


def load_for_generation(ref: ModelRef) -> Any:
    """A model for generation only.

    In float32 the adapter is merged into the weights, which costs a rounding error of 1e-7 and makes each token
    cheaper; in half precision the rounding error would matter, so the adapter stays separate, as it does if it cannot
    be merged.
    """
    model = load_base(ref.base)
    if ref.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, _adapter_folder(ref))
        if dtype(ref.base.dtype) is torch.float32 and not tied_targets(model):
            model = model.merge_and_unload()
    return model.eval()


def tied_targets(model: Any) -> list[str]:
    """The layers with an adapter in a PeftModel that share weights with another layer, so that it cannot be merged.

    They are the input embeddings and the output head, if the configuration ties them.
    """
    if not getattr(model.config, "tie_word_embeddings", False):
        return []
    ends = {id(layer) for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    tied = {name for name, layer in model.base_model.model.named_modules() if id(layer) in ends}
    return sorted(tied & set(model.base_model.targeted_module_names))


def save_model(model: Any, tokenizer: Any, ref: ModelRef, folder: Path, answer_format: dict[str, Any]) -> None:
    """Write the result of training `ref`: an adapter, or a whole model with its tokenizer.

    Raises:
        StageError: the tokenizer does not survive saving and loading unchanged.
    """
    from peft import PeftModel

    if isinstance(model, PeftModel):
        save_adapter(model, ref, folder, answer_format)
        return
    trained_with = model.config.use_cache
    model.config.use_cache = getattr(config_of(ref.base), "use_cache", True)  # the trainer turns it off
    try:
        model.save_pretrained(folder)
    finally:
        model.config.use_cache = trained_with
    tokenizer.save_pretrained(folder)
    _write_contract(ref, folder, answer_format)
    # AutoTokenizer chooses its class by the model's type, and for some types it builds another tokenizer from the files
    again = AutoTokenizer.from_pretrained(folder, trust_remote_code=ref.base.trust_remote_code)
    if again(_SAMPLE)["input_ids"] != tokenizer(_SAMPLE)["input_ids"]:
        raise StageError(
            f"the tokenizer of {ref.base.name} encodes text differently once it is saved with the trained model, so "
            "the model could not be used; train an adapter (leave lora out), or fix tokenizer_class in its "
            "tokenizer_config.json"
        )


def save_adapter(model: Any, ref: ModelRef, folder: Path, answer_format: dict[str, Any]) -> None:
    """Write an adapter, with its answer format and base next to it, but without any reference adapter from TRL."""
    model.peft_config["default"].base_model_name_or_path = ref.base.location
    model.save_pretrained(folder, selected_adapters=["default"])
    _write_contract(ref, folder, answer_format)


def _write_contract(ref: ModelRef, folder: Path, answer_format: dict[str, Any]) -> None:
    (folder / FORMAT_FILE).write_text(json.dumps(answer_format, indent=2) + "\n")
    base = {name: value for name, value in asdict(ref.base).items() if name != "copy"}
    (folder / BASE_FILE).write_text(json.dumps(base, indent=2) + "\n")


def _refuse_damaged(name: str, folder: Path) -> None:
    """Raise StageError for a damaged file: libraries report what is wrong in it, but not which file it is."""
    if problems := [why for file in sorted(folder.glob("*")) if (why := damage(file)) is not None]:
        raise StageError(f"model {name}: {problems[0]} ({folder}); restore it from a copy, or make it again")


def _adapter_folder(ref: ModelRef) -> str:
    assert ref.adapter is not None
    file = Path(ref.adapter) / ADAPTER_FILE
    if not file.is_file() or file.stat().st_size == 0:
        raise StageError(f"model {ref.name}: its adapter {file} is {'empty' if file.exists() else 'missing'}")
    _refuse_damaged(ref.name, Path(ref.adapter))
    return ref.adapter


def stop_ids(tokenizer: Any, shipped: GenerationConfig) -> list[int]:
    """The tokens that end a completion: the tokenizer's end of text and those in the model's generation settings."""
    more = shipped.eos_token_id
    named = more if isinstance(more, list) else [] if more is None else [more]
    return sorted({tokenizer.eos_token_id, *named})
