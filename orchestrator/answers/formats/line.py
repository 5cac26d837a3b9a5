"""The formats `hash` and `marker`: the answer stands after a mark, up to the end of the line."""

import re
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from orchestrator.answers.formats.base import AnswerFormat

_HASH = "####"


class HashFormat(AnswerFormat):
    """GSM8K's `#### 72`; of several the last one with text after it counts."""

    type: Literal["hash"] = "hash"

    def find(self, text: str) -> tuple[int, str] | None:
        """The rest of the line after the last `####` that has one."""
        end = len(text)
        while (start := text.rfind(_HASH, 0, end)) >= 0:
            if found := _rest_of_line(text, start + len(_HASH), end):
                return start, found
            end = start
        return None

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}\n{_HASH} {answer}" if reasoning else f"{_HASH} {answer}"


class MarkerFormat(AnswerFormat):
    """`FINAL ANSWER: 72`; of several markers the last one with text after it counts."""

    type: Literal["marker"] = "marker"
    marker: str = Field(default="FINAL ANSWER:", min_length=1)
    """Stands before the answer, on the same line."""
    ignore_case: bool = True
    """True: `Final answer:` is the same marker."""

    @model_validator(mode="after")
    def _stands_on_a_line(self) -> Self:
        if not self.marker.strip() or "\n" in self.marker:
            raise ValueError(f"marker must be text on one line, not {self.marker!r}")
        return self

    def find(self, text: str) -> tuple[int, str] | None:
        """The rest of the line after the last marker that has one."""
        end = len(text)
        for match in reversed(list(self._pattern.finditer(text))):
            if found := _rest_of_line(text, match.end(), end):
                return match.start(), found
            end = match.start()
        return None

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}\n{self.marker} {answer}" if reasoning else f"{self.marker} {answer}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.marker), re.IGNORECASE if self.ignore_case else 0)


def _rest_of_line(text: str, start: int, end: int) -> str:
    """What stands from `start` to the end of its line, `end` at the latest (the mark that follows), stripped."""
    newline = text.find("\n", start, end)
    return text[start : newline if newline >= 0 else end].strip()
