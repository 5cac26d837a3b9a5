"""Saving weights, tokenizer and decoding so that plain libraries read them unchanged, and the checks that verify it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GenerationConfig

from orchestrator.answers.formats import TagsFormat
from orchestrator.answers.tokens import prompt_ids
from orchestrator.errors import CheckError, StageError
from orchestrator.models.base import TINY, BaseModelRef, resolve_model
from orchestrator.models.loading import load_base, load_for_generation, load_tokenizer, load_trainable, save_model
from orchestrator.models.reference import ModelRef
from orchestrator.models.saving import (
    Row,
    check_tokenizer,
    save_adapter_files,
    save_decoding,
    save_tokenizer,
    save_whole,
)
from orchestrator.models.settings import Lora, ModelSpec

BASE = resolve_model(ModelSpec(name="tiny"))
QUESTIONS = ("How many meters in 5 kilometers?", "Is 3.5 km  more than 3,400 m?", "été\n\n{}")
WEIGHTS = "adapter_model.safetensors"


def adapter(size: float, **lora: Any) -> ModelRef:
    """An adapter on the embedded model whose B matrices are random with this standard deviation."""
    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, **{"target_modules": "all-linear"} | lora)
    get_peft_model(load_base(BASE), config).save_pretrained("adapter")
    tensors = load_file(f"adapter/{WEIGHTS}")
    for name, tensor in tensors.items():
        if "lora_B" in name or "lora_embedding_B" in name:
            tensor.normal_(std=size)
    save_file(tensors, f"adapter/{WEIGHTS}", metadata={"format": "pt"})
    return ModelRef("made", BASE, str(Path("adapter").absolute()))


def rows() -> list[Row]:
    tokenizer = load_tokenizer(BASE)
    asked = [prompt_ids(tokenizer, TagsFormat(), question) for question in QUESTIONS]
    return [(ids + ids[:5], len(ids)) for ids in asked]


def folder() -> Path:
    made = Path("out")
    made.mkdir()
    return made


# --- weights


@pytest.mark.parametrize("computed", ["auto", "bfloat16", "float16"])
@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_merged_weights_agree_in_every_dtype(computed: str, stored: str) -> None:
    ref = adapter(0.05)
    found = save_whole(replace(ref, base=replace(BASE, dtype=computed)), stored, rows(), folder())
    assert found.holds and found.questions == 3
    exact = {computed, stored} <= {"auto", "float32"}
    assert found.off < 1e-5 if exact else found.off > 1e-4
    again = AutoModelForCausalLM.from_pretrained("out", dtype="auto")
    assert again.dtype == getattr(torch, stored)


def test_a_model_without_an_adapter_is_written_as_it_is() -> None:
    found = save_whole(ModelRef("base", BASE), "bfloat16", rows(), folder())
    assert found.lost is None and found.off < 0.02
    before, after = load_file(TINY / "model.safetensors"), load_file("out/model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.filterwarnings("ignore::UserWarning:peft")  # PEFT itself warns of tied layers
def test_weights_that_do_not_agree_are_caught() -> None:
    """An adapter on the output layer alone cannot be merged if that layer shares its weights with the embeddings."""
    ref = adapter(0.5, target_modules=["lm_head"])
    with pytest.raises(
        CheckError, match=r"model made: weights in float32 were .* logits are off by \S+ .* without --merged"
    ):
        save_whole(ref, "float32", rows(), folder())


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_an_adapter_on_tied_weights_stays_beside_them() -> None:
    """An adapter from elsewhere may be on the output layer: it is used as it was trained, and never merged."""
    ref = adapter(0.5, target_modules=["lm_head"])
    with torch.inference_mode():
        used, alone, trained = (
            model.eval()(input_ids=torch.tensor([rows()[0][0]])).logits
            for model in (load_for_generation(ref), load_base(BASE), load_trainable(ref, Lora()))
        )
    assert torch.allclose(used, trained, atol=1e-5) and not torch.allclose(used, alone, atol=0.1)
    with pytest.raises(StageError, match="its adapter cannot be merged: lm_head shares its weights"):
        load_trainable(ref, None)


@pytest.mark.parametrize("shipped", [True, False])
def test_a_trained_model_remembers_as_its_base_does(shipped: bool) -> None:
    """A trainer disables the cache in the configuration it trains with."""
    base = copy_of_base()
    config = json.loads(Path("base/config.json").read_text())
    Path("base/config.json").write_text(json.dumps(config | {"use_cache": shipped}))
    model = load_trainable(ModelRef("base", base), None)
    model.config.use_cache = False
    save_model(model, load_tokenizer(base), ModelRef("base", base), folder(), {})
    assert json.loads(Path("out/config.json").read_text())["use_cache"] is shipped
    assert model.config.use_cache is False, "training may continue"


def test_an_adapter_that_is_lost_in_rounding_is_caught() -> None:
    ref = adapter(1e-6)
    assert save_whole(ref, "float32", rows(), folder()).holds
    shutil.rmtree("out")
    with pytest.raises(CheckError, match=r"they miss \d+% of the adapter's effect, .* with --dtype float32"):
        save_whole(ref, "bfloat16", rows(), folder())


# --- what is saved beside them


def test_an_adapter_names_its_base_and_a_hub_models_commit() -> None:
    ref = adapter(0.1)
    for base in (BASE, replace(BASE, location="someone/small", revision="0123abc")):
        shutil.rmtree("out", ignore_errors=True)
        save_adapter_files(Path(str(ref.adapter)), base, folder())
        config = PeftConfig.from_pretrained("out")
        assert (config.base_model_name_or_path, config.revision) == (base.location, base.revision)
        assert Path(f"out/{WEIGHTS}").read_bytes() == Path(f"adapter/{WEIGHTS}").read_bytes()


def copy_of_base(**settings: Any) -> BaseModelRef:
    """The embedded model in its own folder, with other generation settings."""
    shutil.copytree(TINY, "base")
    file = Path("base/generation_config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return resolve_model(ModelSpec(name="base"))


def test_decoding_is_greedy_whatever_the_base_ships_and_knows_every_end() -> None:
    shipped = {"do_sample": True, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1, "eos_token_id": [5, 7]}
    base = copy_of_base(**shipped)
    save_decoding(load_tokenizer(base), base, folder())
    written = GenerationConfig.from_pretrained("out")
    assert written.eos_token_id == [0, 5, 7] and written.pad_token_id == 1 and not written.do_sample
    assert set(json.loads(Path("out/generation_config.json").read_text())) == {
        "do_sample",
        "eos_token_id",
        "pad_token_id",
        "transformers_version",
    }


def test_a_base_without_settings_for_generation_has_its_ends_from_its_configuration() -> None:
    base = copy_of_base()
    Path("base/generation_config.json").unlink()
    save_decoding(load_tokenizer(base), base, folder())
    assert GenerationConfig.from_pretrained("out").eos_token_id == [0]


def test_a_chat_template_is_written_as_it_was_used() -> None:
    base = copy_of_base()
    template = "{{ strftime_now('%d %b %Y') }} {{ messages[-1]['content'] }}:"
    Path("base/chat_template.jinja").write_text(template)
    form = TagsFormat(chat=True)
    tokenizer = save_tokenizer(base, form, folder())
    check_tokenizer(tokenizer, base, form, QUESTIONS, Path("out"))
    shown = load_tokenizer(replace(base, location="out")).apply_chat_template(
        [{"role": "user", "content": "x"}], tokenize=False
    )
    assert shown == "26 Jul 2024 x:"


def test_a_tokenizer_that_comes_back_as_another_is_caught() -> None:
    """AutoTokenizer chooses the class by the model's type: a Qwen2 model's normalizes text in its own way."""
    base = copy_of_base()
    file = Path("base/tokenizer.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": {"type": "Lowercase"}}))
    tokenizer = save_tokenizer(base, TagsFormat(), folder())
    config = json.loads(Path("base/config.json").read_text())
    Path("out/config.json").write_text(json.dumps(config))
    check_tokenizer(tokenizer, base, TagsFormat(), QUESTIONS, Path("out"))
    Path("out/config.json").write_text(json.dumps(config | {"model_type": "qwen2"}))
    with pytest.raises(CheckError, match=r"the tokenizer of base encodes 'How many meters .*' differently once it is"):
        check_tokenizer(tokenizer, base, TagsFormat(), QUESTIONS, Path("out"))
