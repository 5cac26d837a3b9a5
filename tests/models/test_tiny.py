"""The embedded base model: small, loadable by anyone, honest about text, and ignorant of the task's format."""

import json
import re
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from orchestrator.models.tiny.build import FIRST_TOKENS, MODEL_DIR, SECOND_TOKENS
from orchestrator.models.tiny.corpus import FIRST_MIX, OPENINGS, SECOND_MIX, documents
from orchestrator.tasks.units_questions import PHRASINGS, UnitSettings, generate

TEXTS = (
    "",
    " ",
    "  two  spaces \n\n\t tab and newline\r\n",
    "Convert 12,345.67 km/h into mi/h?",
    "7 cm**3 = 7 cc; 3^2 µm ½ ² º",
    "emoji 🙂👩‍👩‍👧‍👦🏳️‍🌈 and more",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया, こんにちは世界, 안녕하세요",
    "\x00\x01\x1b[0m\x7f control",
    "\u0301 lone \u0300combining\u20dd marks e\u0301 \u00e9",
    "\u200b\u200f\ufeff\u2028 invisible",
    "\U0010ffff \ufffd \ue000",
    "don't they're I'd ' s <answer>4.2</answer> (([{}]))",
)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_any_text_comes_back_unchanged(tokenizer, text, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        ids = one.encode(text)
        assert one.decode(ids) == text
        assert one.encode(text, add_special_tokens=False) == ids, "nothing may be added silently"


def test_every_character_of_the_basic_plane_comes_back(tokenizer):
    for start in range(0, 0x10000, 64):
        text = "".join(chr(c) for c in range(start, start + 64) if not 0xD800 <= c < 0xE000)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_digit_is_a_token_of_its_own(tokenizer):
    pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode("a 1234567890.001 x2y 60min 7/8"))
    assert [p for p in pieces if any(c.isdigit() for c in p)] == list("1234567890001260" + "78")


def test_end_and_padding_differ(tokenizer, model):
    assert tokenizer.bos_token_id is None
    assert tokenizer.eos_token_id is not None and tokenizer.pad_token_id is not None
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    for config in (model.config, model.generation_config):
        assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


def test_it_is_small_and_in_half_precision():
    assert sum(f.stat().st_size for f in MODEL_DIR.iterdir()) <= 8_000_000
    config = json.loads((MODEL_DIR / "config.json").read_text())
    assert config["dtype"] in ("bfloat16", "float16")
    assert config["tie_word_embeddings"] is True
    assert config["max_position_embeddings"] >= 256


def test_half_precision_costs_nothing_that_matters(tokenizer):
    """The weights are stored rounded: loading them in either precision gives the same numbers."""
    half = AutoModelForCausalLM.from_pretrained(MODEL_DIR)
    full = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32)
    for one, other in zip(half.parameters(), full.parameters(), strict=True):
        assert torch.equal(one.float(), other)


def continue_greedily(model, tokenizer, prompts: list[str], tokens: int = 60) -> list[str]:
    """The model's continuation of each prompt."""
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    ids = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=tokens, do_sample=False
    )
    return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def test_it_knows_factors_and_copies_what_it_was_given(model, tokenizer):
    factors = {("h", "min"): "60", ("km", "m"): "1000", ("ft", "in"): "12"}
    cases = [(n, a, b) for n in (3, 7, 12) for a, b in factors]
    texts = continue_greedily(model, tokenizer, [f"Given {n} {a}, wanted {b}." for n, a, b in cases])
    copied = [text.strip().startswith(f"{n} {a} to {b}: ") for text, (n, a, b) in zip(texts, cases, strict=True)]
    known = [f"1 {a} = {factors[a, b]} {b}." in text for text, (_, a, b) in zip(texts, cases, strict=True)]
    assert sum(copied) >= 7 and sum(known) >= 7, texts


def test_it_does_not_know_the_task(model, tokenizer):
    examples = generate("test", 100, 0, UnitSettings())
    texts = continue_greedily(model, tokenizer, [e.question + "\n" for e in examples])
    assert not any("<answer>" in text for text in texts)


def test_it_never_read_a_question_or_a_tag():
    """No wording of the task, with anything in its gaps, and no tag occurs in the first part of its training text."""
    wordings = []
    for phrasing in PHRASINGS:
        gap = re.sub(r"\\\{[nab]\\\}", r"[^.?!\\n]{1,40}", re.escape(phrasing))
        wordings.append(re.compile(gap))
    for text in chain(islice(documents(1, FIRST_MIX), 15_000), islice(documents(2, SECOND_MIX), 15_000)):
        assert "answer>" not in text
        assert not re.search(r"</?\w+>", text), text
        for wording in wordings:
            assert not wording.search(text), (wording.pattern, text)


def test_its_own_wordings_are_many_and_not_the_tasks():
    assert len(OPENINGS) >= 10
    strip = re.compile(r"\{[nab]\}")
    own = {strip.sub("#", o).strip(" .:;?").casefold() for o in OPENINGS}
    assert not own & {strip.sub("#", p).strip(" .:;?").casefold() for p in PHRASINGS}


def test_its_card_says_what_it_read():
    card = (MODEL_DIR / "README.md").read_text()
    facts = json.loads((MODEL_DIR / "training.json").read_text())
    assert "license: apache-2.0" in card
    assert f"{facts['loss']}" in card and f"{facts['tokens']:,}" in card
    assert Path(MODEL_DIR, "model.safetensors").exists()
    assert facts["tokens"] == FIRST_TOKENS + SECOND_TOKENS, "the card and the script disagree on the training text"
