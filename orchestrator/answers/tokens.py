"""From text to token ids: the one place where a prompt becomes what a model reads.

Training concatenates `prompt_ids` and `target_ids`; sampling, GRPO and evaluation start from the same `prompt_ids`. So
the prompt at inference is a prefix of the training row by construction.
"""

from collections.abc import Sequence
from typing import Any

from orchestrator.answers.formats import AnswerFormat

_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"
"""Some templates write today's date, and training and evaluation need not happen on one day: this fixes it for them."""


def prompt_ids(tokenizer: Any, answer_format: AnswerFormat, question: str) -> list[int]:
    """The token ids that stand before a completion, with BOS where the tokenizer has one, never EOS."""
    if answer_format.chat:
        rendered = chat_text(tokenizer, answer_format, question)
        return list(tokenizer(rendered + answer_format.prefix, add_special_tokens=False)["input_ids"])
    ids = list(tokenizer(answer_format.prompt_text(question) + answer_format.prefix)["input_ids"])
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


def chat_text(tokenizer: Any, answer_format: AnswerFormat, question: str, answer: str | None = None) -> str:
    """A question in the chat template, up to where the model's turn begins; or, with an answer, the whole of it."""
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
    """The tokenizer's chat template, the same one every day."""
    template = str(tokenizer.get_chat_template())
    return _DAY + template if "strftime_now" in template else template


def target_ids(tokenizer: Any, target: str) -> list[int]:
    """The token ids a model learns to write: the target and the end of text."""
    return [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def targets_ids(tokenizer: Any, targets: Sequence[str]) -> list[list[int]]:
    """`target_ids` of each target, many times faster for many of them."""
    first, rest = [target_ids(tokenizer, target) for target in targets[:1]], targets[1:]
    if not (tokenizer.is_fast and hasattr(tokenizer.backend_tokenizer, "encode_batch_fast")):
        return first + [target_ids(tokenizer, target) for target in rest]
    # the first call has left the backend without padding and without a limit, whatever other calls have set
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(list(rest), add_special_tokens=False)
    return first + [[*one.ids, tokenizer.eos_token_id] for one in encoded]


def answer_token(tokenizer: Any, answer_format: AnswerFormat, target: str) -> int | None:
    """The place in `target_ids` of the first token that writes some of the answer; None where there is no answer.

    A token that writes the end of the reasoning and the beginning of the answer in one belongs to the answer.
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
    """What a model wrote, as text, without special tokens."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
