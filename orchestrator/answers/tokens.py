"""From text to token ids: the only place where a prompt becomes model input.

Training concatenates `prompt_ids` and `target_ids`; sampling, GRPO and evaluation start from the same `prompt_ids`. So
the prompt at inference is a prefix of the training row by construction.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.word_cuts import CUT, keeps_words_apart

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int32]]"
"""Token ids, int32."""

_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"
"""Fixes the date: some templates write today's, and training and evaluation need not run on the same day."""
_LONG_WORD, _MOST_WORDS = 40, 2**16
"""Maximum length of a word whose tokens are cached, and maximum number of cached words: about 20 MB."""


def prompt_ids(tokenizer: Any, answer_format: AnswerFormat, question: str) -> list[int]:
    """The token ids before a completion, with BOS if the tokenizer adds it, never EOS."""
    if answer_format.chat:
        rendered = chat_text(tokenizer, answer_format, question)
        return list(tokenizer(rendered + answer_format.prefix, add_special_tokens=False)["input_ids"])
    ids = list(tokenizer(answer_format.prompt_text(question) + answer_format.prefix)["input_ids"])
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


def chat_text(tokenizer: Any, answer_format: AnswerFormat, question: str, answer: str | None = None) -> str:
    """A question in the chat template, up to where the model's turn begins; with an answer, the whole conversation."""
    messages = [{"role": "user", "content": answer_format.prompt_text(question)}]
    if answer_format.system is not None:
        messages.insert(0, {"role": "system", "content": answer_format.system})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return str(
        tokenizer.apply_chat_template(
            messages, chat_template=chat_template(tokenizer), tokenize=False, add_generation_prompt=answer is None
        )
    )


def chat_template(tokenizer: Any) -> str:
    """The tokenizer's chat template, the same every day."""
    template = str(tokenizer.get_chat_template())
    return _DAY + template if "strftime_now" in template else template


def target_ids(tokenizer: Any, target: str) -> list[int]:
    """The token ids a model learns to write: the target and the end-of-text token."""
    return [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


class TargetTokens:
    """`target_ids` of many targets at a time.

    If the tokenizer keeps words apart, a text's tokens are those of its words, and each word is tokenized only once:
    that takes an eighth of the time. Other fast tokenizers encode the texts in `threads` threads, regardless of
    TOKENIZERS_PARALLELISM; slow ones encode one text at a time.
    """

    def __init__(self, tokenizer: Any, threads: int = 1) -> None:
        self._tokenizer, self._threads = tokenizer, threads
        self._many = bool(tokenizer.is_fast) and hasattr(tokenizer.backend_tokenizer, "encode_batch_fast")
        self._words_apart = self._many and keeps_words_apart(tokenizer.backend_tokenizer)
        self._words: dict[str, bytes] = {}
        """The tokens of words that follow a space; the keys omit the space."""

    def ids(self, targets: Sequence[str]) -> list[Ids]:
        """The token ids of each target and the end-of-text token, in order."""
        if not self._many:
            return [np.array(target_ids(self._tokenizer, target), np.int32) for target in targets]
        # this call resets the backend to no padding and no truncation, whatever other calls have set
        end = _bytes(target_ids(self._tokenizer, ""))
        texts = self._by_words(targets) if self._words_apart else self._encoded(targets)
        return [np.frombuffer(ids + end, np.int32) for ids in texts]

    def _by_words(self, targets: Sequence[str]) -> list[bytes]:
        """The tokens of each text, joined from those of its words."""
        texts = [CUT.split(target) for target in targets]
        begins, known = self._encoded([words.pop(0) for words in texts]), self._words
        met = list(set(chain.from_iterable(texts)).difference(known))
        known.update(zip(met, self._encoded([" " + word for word in met]), strict=True))
        made = [b"".join([begin, *map(known.__getitem__, words)]) for begin, words in zip(begins, texts, strict=True)]
        for word in met:
            if len(word) > _LONG_WORD:
                del known[word]
        if len(known) > _MOST_WORDS:
            known.clear()
        return made

    def _encoded(self, texts: Sequence[str]) -> list[bytes]:
        """The tokens of each text."""
        part = max(1, -(-len(texts) // self._threads))
        parts = [texts[i : i + part] for i in range(0, len(texts), part)]
        with ThreadPoolExecutor(self._threads) as threads:
            return list(chain.from_iterable(threads.map(self._part_encoded, parts)))

    def _part_encoded(self, texts: Sequence[str]) -> list[bytes]:
        encoded = self._tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [_bytes(one.ids) for one in encoded]


def _bytes(ids: list[int]) -> bytes:
    """Token ids as int32 bytes."""
    return bytes(np.array(ids, np.int32))


def answer_token(tokenizer: Any, answer_format: AnswerFormat, target: str) -> int | None:
    """The index in `target_ids` of the first token that is part of the answer; None if there is no answer.

    A token that spans the end of the reasoning and the beginning of the answer belongs to the answer.
    """
    start = answer_format.answer_start(target)
    if start is None:
        return None
    if tokenizer.is_fast:
        offsets = tokenizer(target, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return next((place for place, (_, end) in enumerate(offsets) if end > start), None)
    whole = tokenizer(target, add_special_tokens=False)["input_ids"]
    before = tokenizer(target[:start], add_special_tokens=False)["input_ids"]
    return next((place for place, (a, b) in enumerate(zip(whole, before, strict=False)) if a != b), len(before))


def completion_text(tokenizer: Any, ids: list[int]) -> str:
    """The text of a completion, without special tokens."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
