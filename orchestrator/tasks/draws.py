"""The completions in one cell, as the tools that made them write them: one text, several draws, answers of an API.

Each draw is a completion of its own, with why it ended where that is said. What holds none is refused with its shape.
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
"""Fields of an answer that hold its draws: of OpenAI, Gemini, vLLM and others."""
_ONE = ("text", "generated_text", "output_text", "message", "content", "response", "completion", "parts", "body")
"""Fields of an answer that hold its one text."""
REASONS = ("finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason")
"""Fields that say why a completion ended: of OpenAI and vLLM, Anthropic, Gemini, Bedrock, Ollama."""
_DETAILS = ("details", "meta_info", "incomplete_details")
"""Fields that hold such a field: of TGI, SGLang, OpenAI's Responses."""
_CUT = re.compile(
    "length|max(new|output|completion|generation)?tokens?|max(seq(uence)?)?len(gth)?|modellength|tokenlimit|truncated"
    "|modelcontextwindow(exceeded)?|context(length|window)(exceeded)?|incomplete"
)
"""Reasons in lower case without blanks, `_` and `-`: that it was cut off, and that it was not."""
_WHOLE = re.compile(
    "stop(sequence|token|str)?|eos(token)?|end(turn|ofturn)?|completed?|finished|(tool|function)calls?|tooluse"
    "|contentfilter|safety|recitation|refusal|unspecified|none|null|nan|"
)
_ENUM = re.compile(r"<?\s*(?:\w+\.)*(?P<name>[\w\s-]*?)\s*(?::[^:]*)?>?")
"""`FinishReason.LENGTH`, `<FinishReason.LENGTH: 2>`, `FinishReason.LENGTH: 'length'`: as enums are written."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion as it is in a cell."""

    text: str
    reason: Any = None
    """Why it ended, as the cell says it; None: it says nothing."""


def draws_of(value: Any) -> list[Draw]:
    """The completions in a cell, in its order; of an empty cell one without text.

    Raises ValueError with the shape of what holds none.
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
    """Whether a struct with a type is a message or an answer, and no mere part of a message."""
    return as_message(item) is not None or any(_some(item, name) for name in ("choices", "message", "content"))


def _answered(value: dict[str, Any]) -> list[Draw]:
    """The completions in an answer of an API."""
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
    """Why an answer ended, None where it does not say."""
    for place in (value, *(value[name] for name in _DETAILS if isinstance(value.get(name), dict))):
        for name in REASONS if place is value else (*REASONS, "reason"):
            if says_why(place.get(name)):
                return place[name]
    return None


def _of_the_model(content: Any) -> str:
    """The text of an answer's content; Gemini's is a message of its own."""
    while isinstance(content, dict) and "type" not in content and ("parts" in content or "content" in content):
        content = content.get("parts", content.get("content"))
    return content_text(content)


def _some(value: dict[str, Any], name: str) -> bool:
    return name in value and not missing(value[name])


# --- why a completion ended


def finish_reason(value: Any) -> tuple[FinishReason, str | None]:
    """Whether a completion was cut off, and the reason that is not known, None where it is.

    `length`, `MAX_TOKENS`, `FinishReason.LENGTH` and `{"type": "length"}` all say that it was.
    """
    if isinstance(value, str):
        return _of_word(value)
    if isinstance(value, dict):
        value = next((value[name] for name in ("type", "reason", "name", "value") if _some(value, name)), value)
    if missing(value):
        return "stop", None
    return _of_word(value) if isinstance(value, str) else ("stop", repr(value))


def says_why(value: Any) -> bool:
    """Whether a cell gives a reason: none is given by an empty one, nor by a list of such."""
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
    """The reasons that a row gives for its `number` draws: one for all, or a list with one for each."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, list):
        return [value] * number
    if len(value) != number:
        raise ValueError(f"a cell of {number} beside reasons for the end of {len(value)}")
    return value
