"""The formats `hash` and `marker`: the answer follows a mark, up to the end of the line."""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from orchestrator.answers.control_tokens import before_token
from orchestrator.answers.formats.base import AnswerFormat, Found
from orchestrator.schema import clipped

_HASH = "####"
_HASH_MARK = re.compile("#{4,}")
_OPENED = re.compile(r"[*_]{1,3}\Z")


class HashFormat(AnswerFormat):
    """GSM8K's `#### 72`; of several marks, the last one with text after it counts."""

    type: Literal["hash"] = "hash"

    def answers(self, text: str) -> Iterator[Found]:
        """The rest of the line after each `####`."""
        yield from _rests(text, [(match.start(), match.end()) for match in _HASH_MARK.finditer(text)], self.take)

    def place(self) -> str:
        return f"answers after {_HASH}"

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}\n{_HASH} {answer}" if reasoning else f"{_HASH} {answer}"


class MarkerFormat(AnswerFormat):
    """`FINAL ANSWER: 72`; of several markers, the last one with text after it counts."""

    type: Literal["marker"] = "marker"
    marker: str = Field(default="FINAL ANSWER:", min_length=1)
    """The text before the answer, on the same line."""
    ignore_case: bool = True
    """True: `Final answer:` is the same marker."""

    @model_validator(mode="after")
    def _stands_on_a_line(self) -> Self:
        if not self.marker.strip() or "\n" in self.marker:
            raise ValueError(f"marker must be text on one line, not {self.marker!r}")
        return self

    def answers(self, text: str) -> Iterator[Found]:
        """The rest of the line after each marker, without the emphasis around the marker: `**Answer:** 72`."""
        marks = [(match.start(), match.end()) for match in self._pattern.finditer(text)]
        for start, rest in _rests(text, marks, self.take):
            if not self.marker.rstrip().endswith(":"):
                rest = rest.removeprefix(":").lstrip()
            if bold := _OPENED.search(text, max(0, start - 4), start):
                rest = rest.removeprefix(bold[0]) if rest.startswith(bold[0]) else rest.removesuffix(bold[0])
            yield start, rest.strip()

    def place(self) -> str:
        return f"answers after {clipped(json.dumps(self.marker, ensure_ascii=False))}"

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}\n{self.marker} {answer}" if reasoning else f"{self.marker} {answer}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.marker), re.IGNORECASE if self.ignore_case else 0)


def _rests(text: str, marks: list[tuple[int, int]], take: Literal["first", "last"]) -> Iterator[Found]:
    """The rest of the line after each mark, up to the next mark or the end of the model's turn."""
    ends = [*(start for start, _ in marks[1:]), len(text)]
    both = list(zip(marks, ends, strict=False))
    for (start, at), end in both if take == "first" else reversed(both):
        newline = text.find("\n", at, end)
        yield start, before_token(text[at : newline if newline >= 0 else end]).strip()
