"""From text to token ids: the one place where a prompt becomes what a model reads.

Training concatenates `prompt_ids` and `target_ids`; sampling, GRPO and evaluation start from the same `prompt_ids`. So
the prompt at inference is a prefix of the training row by construction.
"""

from typing import Any

from orchestrator.answers.format import AnswerFormat


def prompt_ids(tokenizer: Any, answer_format: AnswerFormat, question: str) -> list[int]:
    """The token ids that stand before a completion, with BOS where the tokenizer has one, never EOS."""
    text = answer_format.prompt_text(question)
    if answer_format.chat:
        messages = [{"role": "user", "content": text}]
        if answer_format.system is not None:
            messages.insert(0, {"role": "system", "content": answer_format.system})
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(rendered + answer_format.prefix, add_special_tokens=False)["input_ids"])
    ids = list(tokenizer(text + answer_format.prefix)["input_ids"])
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


def target_ids(tokenizer: Any, target: str) -> list[int]:
    """The token ids a model learns to write: the target and the end of text."""
    return [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def completion_text(tokenizer: Any, ids: list[int]) -> str:
    """What a model wrote, as text, without special tokens."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
