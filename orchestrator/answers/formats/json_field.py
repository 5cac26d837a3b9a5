"""The format `json`: the answer is a field of a JSON object. What is no JSON does not make it fail or take long."""

import json
import re
from typing import Any, Literal

from pydantic import Field

from orchestrator.answers.formats.base import AnswerFormat

_OBJECT = re.compile(r'\{\s*+"')
_MOST_LOST = 2_000_000
"""Characters that may be read in vain before the rest is given up: what looks like JSON may be tried over and over."""
_NESTED_TOO_DEEP = 10_000
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
"""Numbers stay as they are written; line breaks may stand in texts, as models write them."""


class JsonFormat(AnswerFormat):
    """`{"answer": 72}` anywhere in the text; of several objects with the field the last complete one counts."""

    type: Literal["json"] = "json"
    field: str = Field(default="answer", min_length=1)
    """Its name in the object; where an object has it both itself and further inside, its own counts."""

    def find(self, text: str) -> tuple[int, str] | None:
        """The field's value: text and numbers as they stand, a list as `[1, 2]`; null is no answer."""
        if json.dumps(self.field) not in text and json.dumps(self.field, ensure_ascii=False) not in text:
            return None
        found: tuple[int, str] | None = None
        last, at, lost = text.rfind("}") + 1, 0, 0
        while lost < _MOST_LOST and (match := _OBJECT.search(text, at, last)):
            start, at = match.start(), match.end()
            try:
                value, at = _DECODER.raw_decode(text, start)
                holder = _holder(value, self.field)
                if holder is not None:
                    written = _as_text(holder[self.field])
                    found = None if written is None else (start, written)
            except json.JSONDecodeError as error:
                # a text without its end was searched to the very end for it; the error counts the lines before it
                lost += (len(text) if error.msg.startswith("Unterminated") else error.pos) - start + error.pos // 8
            except RecursionError:
                lost += _NESTED_TOO_DEEP
        return found

    def written(self, answer: str, reasoning: str) -> str:
        number = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e-?[0-9]+)?", answer)
        value = answer if number else json.dumps(answer, ensure_ascii=False)
        return f"{reasoning}{' ' if reasoning else ''}{{{json.dumps(self.field, ensure_ascii=False)}: {value}}}"


def _holder(value: Any, field: str) -> dict[str, Any] | None:
    """The object that has the field: the value itself, else the last one inside it."""
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
