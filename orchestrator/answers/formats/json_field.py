"""The format `json`: the answer is a field of a JSON object. Invalid JSON does not make it fail or take long."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from orchestrator.answers.formats.base import AnswerFormat, Found
from orchestrator.schema import clipped

_OBJECT = re.compile(r'\{\s*+"')
# TeX in a JSON string, as models write it: `\(` is not a JSON escape, and `\frac{` would begin with a form feed.
_ESCAPE = re.compile(
    r"""
    (?P<tex> \\ (?= t?frac\s*+[{0-9] | text(?:bf|it|rm|sf|tt|normal)?\s*+\{ | times(?![a-z]) | boxed\s*+\{ ) )
    | \\ (?: ["\\/bfnrt] | u[0-9A-Fa-f]{4} )
    | (?P<lone> \\ )
    """,
    re.VERBOSE,
)
_MOST_LOST = 2_000_000
"""Characters that may be parsed in vain before giving up: text that looks like JSON may be tried over and over."""
_NESTED_TOO_DEEP = 10_000
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
"""Numbers stay as written; strings may contain line breaks, as models write them."""


class JsonFormat(AnswerFormat):
    r"""`{"answer": 72}` anywhere in the text; of several objects with the field, the last complete one counts.

    A backslash that begins no JSON escape, as in `"\(x\)"`, stands for itself.
    """

    VERSION: ClassVar[int] = 4

    type: Literal["json"] = "json"
    field: str = Field(default="answer", min_length=1)
    """The field's name; if an object has the field both itself and in a nested object, its own counts."""

    def answers(self, text: str) -> Iterable[Found]:
        """Each value of the field: text and numbers as written, a list as `[1, 2]`; null is not an answer."""
        if json.dumps(self.field) not in text and json.dumps(self.field, ensure_ascii=False) not in text:
            return ()
        text, added = _lone_backslashes_doubled(text)
        found: list[Found] = []
        last, at, lost = text.rfind("}") + 1, 0, 0
        while lost < _MOST_LOST and (match := _OBJECT.search(text, at, last)):
            start, at = match.start(), match.end()
            try:
                value, at = _DECODER.raw_decode(text, start)
                holder = _holder(value, self.field)
                if holder is not None:
                    written = _as_text(holder[self.field]) or ""
                    found.append((start - bisect_left(added, start), written))
            except json.JSONDecodeError as error:
                # an unterminated string was searched to the end of the text; the error counts the lines before it
                lost += (len(text) if error.msg.startswith("Unterminated") else error.pos) - start + error.pos // 8
            except RecursionError:
                lost += _NESTED_TOO_DEEP
        return found if self.take == "first" else reversed(found)

    def place(self) -> str:
        return f"answers in the JSON field {clipped(json.dumps(self.field, ensure_ascii=False))}"

    def written(self, answer: str, reasoning: str) -> str:
        number = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e-?[0-9]+)?", answer)
        value = answer if number else json.dumps(answer, ensure_ascii=False)
        return f"{reasoning}{' ' if reasoning else ''}{{{json.dumps(self.field, ensure_ascii=False)}: {value}}}"


def _lone_backslashes_doubled(text: str) -> tuple[str, list[int]]:
    """The text with lone backslashes escaped as JSON requires, and where they were added. Valid JSON has none."""
    lone = [match.start() for match in _ESCAPE.finditer(text) if match.lastgroup]
    if not lone:
        return text, []
    doubled = _ESCAPE.sub(lambda match: match[0] * 2 if match.lastgroup else match[0], text)
    return doubled, [at + earlier for earlier, at in enumerate(lone)]


def _holder(value: Any, field: str) -> dict[str, Any] | None:
    """The object that has the field: the value itself, else the last such object nested in it."""
    if isinstance(value, dict) and field in value:
        return value
    inner = reversed(value.values()) if isinstance(value, dict) else reversed(value) if isinstance(value, list) else ()
    return next((found for item in inner if (found := _holder(item, field)) is not None), None)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(_as_text(item) or 'null' for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
