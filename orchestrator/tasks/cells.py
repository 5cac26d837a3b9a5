"""The content of one cell of a record, by its kind: text, a number, a message, a conversation.

Only text counts as text: anything else is rejected with its shape (`a list of 3 texts`, `a struct with fields a, b`)
rather than converted. It must not know what a cell is for.
"""

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import Any

from orchestrator.types import answer_text

ASSISTANT = ("assistant", "model", "gpt", "chatgpt", "bot", "ai")
USER = ("user", "human")
_TEXT_PARTS = {"text": "text", "output_text": "text", "input_text": "text", "refusal": "refusal"}
"""Types of message parts that belong to its text, and the field that contains the text."""
_CALLS = ("tool_use", "tool_call", "function_call", "server_tool_use")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning", "reasoning_content", "thought", "analysis")
"""Types of message parts that do not belong to its text: the model's reasoning before the answer."""
_ROLES = (("role", "content"), ("role", "parts"), ("from", "value"))
"""The fields with a message's author and its content: in the formats of OpenAI, Gemini and ShareGPT."""
_SHOWN = 5


class WrittenNumber(float):
    """A JSON number with a decimal point or an exponent that keeps its spelling: `1e20`, `99999.990`."""

    text: str

    def __new__(cls, text: str) -> "WrittenNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    """In lower case."""
    content: Any

    def text(self) -> str:
        """The message's text, without reasoning. Raises ValueError if it is not text."""
        return content_text(self.content)


def missing(value: Any) -> bool:
    """Whether a cell is empty: null, or the NaN that fills gaps in tables."""
    return value is None or (isinstance(value, (float, Decimal)) and math.isnan(value))


def find(record: Any, name: str) -> tuple[bool, Any]:
    """Whether a record has a column, and its value. `a.b` is the column of exactly that name, else `b` inside `a`."""
    if isinstance(record, dict):
        if name in record:
            return True, record[name]
        if "." not in name:
            return False, None
        for cut in _cuts(name):
            if name[:cut] in record:
                return find(record[name[:cut]], name[cut + 1 :])
    elif isinstance(record, list):
        first, _, rest = name.partition(".")
        if first.isdecimal() and int(first) < len(record):
            return (True, record[int(first)]) if not rest else find(record[int(first)], rest)
    return False, None


def numbered(record: Any, name: str) -> str | None:
    """A variant of a name that does exist, with the index of the first item of each list on the way: `a.0.b`."""
    parts = name.split(".")
    for place in range(1, len(parts)):
        inside = find(record, ".".join(parts[:place]))[1]
        if isinstance(inside, list) and inside and not parts[place].isdecimal():
            longer = ".".join([*parts[:place], "0", *parts[place:]])
            return longer if find(record, longer)[0] else numbered(record, longer)
    return None


def top_column(name: str, columns: Sequence[str]) -> str | None:
    """The table column that a name refers to: the column itself, else the one that contains it; None: no such one."""
    if name in columns:
        return name
    return next((name[:cut] for cut in _cuts(name) if name[:cut] in columns), None)


def _cuts(name: str) -> Iterator[int]:
    """The positions of the dots, last first: `a.b.c` may be `c` in `a.b`."""
    for place in range(len(name) - 2, 0, -1):
        if name[place] == ".":
            yield place


# --- numbers


def number_text(value: Any) -> str | None:
    """A number as text with all its digits: a decimal 72.50 as `72.50`. None if the value is not a number."""
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    return format(value, "f") if isinstance(value, Decimal) else answer_text(value)


# --- messages


def conversation(value: Any) -> list[Message] | None:
    """The messages of a conversation; None if the value is not one."""
    if isinstance(value, dict) and (columns := _as_columns(value)) is not None:
        value = columns
    if not isinstance(value, list) or not value:
        return None
    found = [as_message(item) for item in value]
    messages = [message for message in found if message is not None]
    return messages if len(messages) == len(found) else None


def as_message(value: Any) -> Message | None:
    """The value as a message; None if it is not one."""
    if not isinstance(value, dict):
        return None
    for role, content in _ROLES:
        if isinstance(value.get(role), str) and content in value:
            return Message(value[role].strip().lower(), value[content])
    return None


def _as_columns(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """A conversation stored as a list of roles and a list of contents, as in tables of lists."""
    for role, content in _ROLES:
        roles, contents = value.get(role), value.get(content)
        if isinstance(roles, list) and isinstance(contents, list) and len(roles) == len(contents):
            return [{role: r, content: c} for r, c in zip(roles, contents, strict=True)]
    return None


def reply(messages: Sequence[Message]) -> str:
    """The model's reply at the end of a conversation. Raises ValueError if the last message is not the model's.

    Consecutive messages of the model at the end are one turn, such as a prefill and its continuation.
    """
    if messages[-1].role not in ASSISTANT:
        raise ValueError(f"a conversation that ends with the {messages[-1].role}, so there is no completion in it")
    turn = takewhile(lambda message: message.role in ASSISTANT, reversed(messages))
    return "".join([message.text() for message in turn][::-1])


def content_text(content: Any) -> str:
    """The text of a message's content, which is text or a list of parts; reasoning and tool calls are left out.

    Raises ValueError for a part of any other kind.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if missing(content):
        return ""
    if not isinstance(content, list):
        raise ValueError(f"a message whose content is {shape(content)}")
    return "".join(map(_part_text, content))


def is_thought(part: Any) -> bool:
    """Whether a part of a message or of a response is the model's reasoning."""
    return isinstance(part, dict) and (part.get("type") in _THOUGHTS or part.get("thought") is True)


def _part_text(part: Any) -> str:
    """The text of one part of a message; empty for reasoning or a tool call. Raises ValueError for anything else."""
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        kind = part.get("type")
        if is_thought(part) or kind in _CALLS:
            return ""
        field = _TEXT_PARTS.get(kind or "text") if isinstance(kind or "", str) else None
        if field is not None and isinstance(part.get(field), str):
            return str(part[field])
        if kind is None and any(isinstance(part.get(name), str) for name in _THOUGHTS):
            return ""
        if kind is not None:
            raise ValueError(f"a message with a part of type {kind!r:.60}, which is not text")
    raise ValueError(f"a message with a part that is {shape(part)}")


# --- shapes


def shape(value: Any) -> str:
    """Describe a value without its content: `a list of 3 texts`, `a struct with fields a, b`."""
    if (simple := _simple(value)) is not None:
        return simple
    if isinstance(value, list):
        if (messages := conversation(value)) is not None:
            return f"a conversation of {_several(len(messages), 'message')} ({_some([m.role for m in messages])})"
        return _list_shape(value)
    if isinstance(value, dict):
        return f"a struct with fields {_some(list(map(str, value)))}" if value else "a struct without fields"
    return f"a {type(value).__name__}"


def _simple(value: Any) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"binary ({len(value)} bytes)"
    if isinstance(value, datetime.datetime):
        return "a timestamp"
    if isinstance(value, datetime.date):
        return "a date"
    if isinstance(value, datetime.time):
        return "a time of day"
    if isinstance(value, datetime.timedelta):
        return "a duration"
    return None


def _list_shape(value: list[Any]) -> str:
    if not value:
        return "an empty list"
    if all(isinstance(item, tuple) and len(item) == 2 for item in value):
        return f"a map with keys {_some([str(key) for key, _ in value])}"
    kinds = {_plural(item) for item in value}
    what = kinds.pop() if len(kinds) == 1 else "values of several kinds"
    if what == "structs":
        names = list(dict.fromkeys(str(name) for item in value for name in item))
        return f"a list of {_several(len(value), 'struct')} with fields {_some(names)}"
    return f"a list of {len(value)} {what[:-1] if len(value) == 1 else what}"


def _plural(value: Any) -> str:
    if value is None:
        return "nulls"
    if isinstance(value, bool):
        return "truth values"
    for kinds, words in ((str, "texts"), (int | float | Decimal, "numbers"), (list, "lists"), (dict, "structs")):
        if isinstance(value, kinds):
            return words
    return "values"


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _some(names: Sequence[str]) -> str:
    short = [name if len(name) <= 40 else f"{name[:37]}..." for name in names[:_SHOWN]]
    return ", ".join(short) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
