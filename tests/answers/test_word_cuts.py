"""Targets get the same tokens in batches as one by one; a text is cut into words only if that is safe."""

import random
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Metaspace, Sequence, Split
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from orchestrator.answers import tokens
from orchestrator.answers.tokens import TargetTokens, target_ids
from orchestrator.answers.word_cuts import CUT, keeps_words_apart
from orchestrator.models.base import TINY
from orchestrator.models.tiny.corpus import documents

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
QWEN_3_5 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def by(pattern: str) -> Any:
    return Sequence([Split(Regex(pattern), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def learned(before: Any, normalizer: Any = None, added: tuple[AddedToken, ...] = ()) -> PreTrainedTokenizerFast:
    """A BPE tokenizer trained on a few hundred texts, including some that a pattern splits in an odd way."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = before
    if normalizer is not None:
        backend.normalizer = normalizer
    odd = [
        "don't we'll I'M",
        "a  b   c",
        "  indented\n\n    more",
        "日本語 テキスト",
        "e\u0301te\u0301 été",
        "x<tool> y",
    ] * 30
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*islice(documents(0), 400), *odd], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")
    tokenizer.add_tokens(list(added))
    return tokenizer


def gpt_2(**settings: Any) -> PreTrainedTokenizerFast:
    return learned(ByteLevel(add_prefix_space=False), **settings)


def with_ends() -> PreTrainedTokenizerFast:
    """A tokenizer that wraps a text in special tokens if special tokens are requested."""
    tokenizer = gpt_2()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("<eos> $A <eos>", None, [("<eos>", 0)])
    return tokenizer


HARMLESS = (AddedToken("<tool>", lstrip=True), AddedToken("met"), AddedToken("  "), AddedToken(" km", normalized=False))
CUT_AT_WORDS: dict[str, Callable[[], Any]] = {
    "tiny": lambda: AutoTokenizer.from_pretrained(TINY),
    "GPT-2": gpt_2,
    "Llama 3": lambda: learned(by(LLAMA_3)),
    "Qwen 2": lambda: learned(by(QWEN_2), normalizers.NFC()),
    "Qwen 3.5": lambda: learned(by(QWEN_3_5), normalizers.NFC()),
    "numbers apart": lambda: learned(Sequence([Digits(individual_digits=False), ByteLevel(add_prefix_space=False)])),
    "ends": with_ends,
    "added tokens": lambda: gpt_2(added=HARMLESS, normalizer=normalizers.NFC()),
}
NOT_CUT: dict[str, tuple[Callable[[], Any], str]] = {
    "a token of two words": (lambda: gpt_2(added=(AddedToken("we con"),)), "so we con it"),
    "a token that takes spaces behind it": (lambda: gpt_2(added=(AddedToken("<tool>", rstrip=True),)), "a<tool> b"),
    "a token that is a word": (lambda: gpt_2(added=(AddedToken(" km", single_word=True),)), "3x km"),
    "a space before each text": (lambda: learned(ByteLevel(add_prefix_space=True)), ""),
    "words that the tokenizer marks": (lambda: learned(Metaspace(prepend_scheme="always")), ""),
    "texts whole": (lambda: learned(Metaspace(prepend_scheme="always", split=False)), "it is the"),
    "another pattern": (lambda: learned(by(r"(?<!m) km|\s+|\S+")), "3m km"),
    "another normalizer": (lambda: learned(ByteLevel(add_prefix_space=False), normalizers.Replace("x y", "z")), "x y"),
    "no byte level": (lambda: learned(pre_tokenizers.Whitespace()), ""),
}
ODD = [
    *("\u00a0", "\u2003", "\u200b", "\u3000", "\u0301", "\u0308", "\x1c", "\x85", "\u2028", "\u1161", "\u1100", "\x00"),
    *("\t", "\r\n", "\n", "\n\n", " ", " ", " ", "  ", "   ", "'s", "'LL", ".", ",", "!", "<answer>", "</answer>"),
    *("e\u0301", "é", "①", "½", "²", "日本", "नमस्ते", "😀", "\ufeff", "\u0e33", "\u0660", "İ", "\u0344", "\u0958"),
    *("<eos>", "<pad>", "<|end|>", "<tool>", "km", "met", "12", "3.5", "1,760", "=", "*", "_", "we", "many", "don't"),
]


def texts(seed: int) -> list[str]:
    """Texts of all sorts, including empty and long ones."""
    drawn = random.Random(seed)
    mixed = ["".join(drawn.choices([*ODD, *[" "] * 15], k=drawn.choice([1, 3, 10, 40]))) for _ in range(300)]
    return ["", *mixed, *islice(documents(seed), 40), "x" * 3000, "far " * 900, "日本語 " * 300, " " * 50, ""]


def one_by_one(tokenizer: Any, targets: list[str]) -> list[list[int]]:
    return [target_ids(tokenizer, target) for target in targets]


@pytest.mark.parametrize("name", [*CUT_AT_WORDS, *NOT_CUT])
def test_many_targets_are_the_same_tokens_as_one_by_one(name: str) -> None:
    tokenizer = (CUT_AT_WORDS.get(name) or NOT_CUT[name][0])()
    assert keeps_words_apart(tokenizer.backend_tokenizer) == (name in CUT_AT_WORDS)
    for threads in (1, 3):
        made = TargetTokens(tokenizer, threads)
        for seed in range(2):
            tokenizer(["a", "a b c d e f"], padding=True, truncation=True, max_length=2)  # another call may set these
            assert [list(ids) for ids in made.ids(texts(seed))] == one_by_one(tokenizer, texts(seed))
        assert made.ids([]) == [] and len(made.ids([""])[0]) == 1


@pytest.mark.parametrize("name", [name for name, (_, text) in NOT_CUT.items() if text])
def test_texts_that_are_not_cut_would_come_out_as_other_tokens(name: str) -> None:
    tokenizer, text = NOT_CUT[name][0](), NOT_CUT[name][1]
    first, *rest = CUT.split(text)
    parts = tokenizer([first, *(" " + word for word in rest)], add_special_tokens=False)["input_ids"]
    assert rest and list(chain.from_iterable(parts)) != tokenizer(text, add_special_tokens=False)["input_ids"]


def test_slow_tokenizers_read_one_text_after_the_other() -> None:
    tokenizer = ByT5Tokenizer()
    assert not tokenizer.is_fast
    assert [list(ids) for ids in TargetTokens(tokenizer, 3).ids(texts(0))] == one_by_one(tokenizer, texts(0))


def test_a_cut_is_before_one_space_between_visible_characters() -> None:
    assert CUT.split("3 km  to\n m é 日本 語") == ["3", "km  to\n m", "é", "日本", "語"]
    assert CUT.split(" a\u00a0b \u0301c d\x1c e ") == [" a\u00a0b \u0301c", "d\x1c e "]
    assert CUT.split("") == [""]


def test_words_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MOST_WORDS", 5)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    made, long = TargetTokens(tokenizer), f"a {'long' * 20} word"
    for targets in (["a b c", long], ["a d e f g h", "a b c"], ["a b c", long], ["a b c"]):
        assert [list(ids) for ids in made.ids(targets)] == one_by_one(tokenizer, targets)
        assert len(made._words) <= 5 and max(map(len, made._words), default=0) < 80
