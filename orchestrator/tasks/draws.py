"""The completions in one cell, in the formats of common tools: one text, several draws, API responses.

Each draw is a separate completion, with its finish reason if there is one. A cell without completions is rejected with
its shape.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from orchestrator.tasks.cells import (
    as_message,
    content_text,
    conversation,
    is_thought,
    missing,
    number_text,
    reply,
    shape,
)
from orchestrator.types import FinishReason

_SEVERAL = ("choices", "candidates", "outputs", "completions", "generations", "responses", "resps", "output")
"""Fields of a response that contain its draws: of OpenAI, Gemini, vLLM and others."""
_ONE = ("text", "generated_text", "output_text", "message", "content", "response", "completion", "parts", "body")
"""Fields of a response that contain its only text."""
REASONS = ("finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason")
"""Fields that contain the finish reason: of OpenAI and vLLM, Anthropic, Gemini, Bedrock, Ollama."""
_DETAILS = ("details", "meta_info", "incomplete_details")
"""Fields that contain such a field: of TGI, SGLang, OpenAI's Responses API."""
_CUT = re.compile(
    "length|max(new|output|completion|generation)?tokens?|max(seq(uence)?)?len(gth)?|modellength|tokenlimit|truncated"
    "|modelcontextwindow(exceeded)?|context(length|window)(exceeded)?|incomplete"
)
"""Finish reasons, in lower case without blanks, `_` and `-`: those of cut-off completions, and below, of others."""
_WHOLE = re.compile(
    "stop(sequence|token|str)?|eos(token)?|end(turn|ofturn)?|completed?|finished|(tool|function)calls?|tooluse"
    "|contentfilter|safety|recitation|refusal|unspecified|none|null|nan|"
)
_ENUM = re.compile(r"<?\s*(?:\w+\.)*(?P<name>[\w\s-]*?)\s*(?::[^:]*)?>?")
"""`FinishReason.LENGTH`, `<FinishReason.LENGTH: 2>`, `FinishReason.LENGTH: 'length'`: spellings of enum members."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion in a cell."""

    text: str
    reason: Any = None
    """The finish reason given in the cell; None if there is none."""


def draws_of(value: Any) -> list[Draw]:
    """The completions in a cell, in order; for an empty cell, one without text.

    Raises ValueError with the shape of a value that contains none.
    """
    if missing(value):
        return [Draw("")]
    if isinstance(value, str):
        return [Draw(value)]
    if (number := number_text(value)) is not None:
        return [Draw(number)]
    if isinstance(value, list):
        said = [item for item in value if not is_thought(item)]
        if value and not said:
            return [Draw("")]
        value = said
    if (messages := conversation(value)) is not None:
        return [Draw(reply(messages))]
    if isinstance(value, list):
        return list(_listed(value))
    if isinstance(value, dict):
        return _answered(value)
    raise ValueError(shape(value))


def _listed(value: list[Any]) -> Iterator[Draw]:
    if not value:
        raise ValueError("an empty list, so there is no completion in it")
    if any(isinstance(item, dict) and isinstance(item.get("type"), str) and not _holds(item) for item in value):
        yield Draw(content_text(value))  # the parts of one message
        return
    for item in value:
        if isinstance(item, str):
            yield Draw(item)
        elif isinstance(item, list | dict) and item:
            yield from draws_of(item)
        else:
            raise ValueError(shape(value) if item is not None else f"{shape(value)}, one of which is null")


def _holds(item: dict[str, Any]) -> bool:
    """Whether a struct with a type is a message or a response, not just a part of a message."""
    return as_message(item) is not None or any(_some(item, name) for name in ("choices", "message", "content"))


def _answered(value: dict[str, Any]) -> list[Draw]:
    """The completions in an API response."""
    reason = _reason(value)
    if (message := as_message(value)) is not None:
        return [Draw(reply([message]), reason)]
    for name in _SEVERAL:
        if isinstance(value.get(name), list):
            found = draws_of(value[name])
            return [Draw(draw.text, reason if draw.reason is None else draw.reason) for draw in found]
    for name in _ONE:
        if not _some(value, name):
            continue
        inner = value[name]
        if name in ("content", "parts"):
            return [Draw(_of_the_model(inner), reason)]
        found = draws_of(inner)
        return [Draw(draw.text, reason if draw.reason is None else draw.reason) for draw in found]
    raise ValueError(shape(value))


def _reason(value: dict[str, Any]) -> Any:
    """The finish reason of a response; None if it has none."""
    for place in (value, *(value[name] for name in _DETAILS if isinstance(value.get(name), dict))):
        for name in REASONS if place is value else (*REASONS, "reason"):
            if says_why(place.get(name)):
                return place[name]
    return None


def _of_the_model(content: Any) -> str:
    """The text of a response's content, which in Gemini's format is itself a message."""
    while isinstance(content, dict) and "type" not in content and ("parts" in content or "content" in content):
        content = content.get("parts", content.get("content"))
    return content_text(content)


def _some(value: dict[str, Any], name: str) -> bool:
    return name in value and not missing(value[name])


# --- finish reasons


def finish_reason(value: Any) -> tuple[FinishReason, str | None]:
    """Whether a completion was cut off, and the reason if it is an unknown one, else None.

    `length`, `MAX_TOKENS`, `FinishReason.LENGTH` and `{"type": "length"}` all mean that it was.
    """
    if isinstance(value, str):
        return _of_word(value)
    if isinstance(value, dict):
        value = next((value[name] for name in ("type", "reason", "name", "value") if _some(value, name)), value)
    if missing(value):
        return "stop", None
    return _of_word(value) if isinstance(value, str) else ("stop", repr(value))


def says_why(value: Any) -> bool:
    """Whether a cell gives a finish reason; an empty cell and a list of empty ones do not."""
    if isinstance(value, list):
        return any(map(says_why, value))
    if isinstance(value, str):
        return value.strip().lower() not in ("", "none", "null", "nan")
    return not missing(value)


@lru_cache(maxsize=1_000)
def _of_word(reason: str) -> tuple[FinishReason, str | None]:
    written = _ENUM.fullmatch(reason.strip()) if len(reason) <= 100 else None
    word = re.sub(r"[\s_-]", "", reason if written is None else written["name"]).lower()
    word = word.removeprefix("finishreason")
    if _CUT.fullmatch(word):
        return "length", None
    return "stop", None if _WHOLE.fullmatch(word) else reason


def reasons_of(value: Any, number: int) -> Sequence[Any]:
    """The finish reasons of a row's `number` draws, given as one for all or as a list with one for each."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, list):
        return [value] * number
    if len(value) != number:
        raise ValueError(f"a cell of {number} draws, but with {len(value)} finish reasons")
    return value
