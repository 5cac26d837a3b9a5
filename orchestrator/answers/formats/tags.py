"""The format `tags`: the answer is between an opening and a closing text. Knows nothing about its meaning."""

import re
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from orchestrator.answers.formats.base import AnswerFormat, Found
from orchestrator.schema import clipped

_TAG = re.compile(r"<(\w{1,30})>")


class TagsFormat(AnswerFormat):
    """`<answer>72</answer>`; of several complete pairs, the last counts."""

    type: Literal["tags"] = "tags"
    opening: str = Field(default="<answer>", min_length=1)
    """The text before the answer."""
    closing: str = Field(default="</answer>", min_length=1)
    """The text after the answer."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if not self.opening.strip():
            raise ValueError("opening is blank, so every gap between words would open an answer; give it some text")
        # The other way around is fine: "\n#### " may be closed by "\n".
        if self.opening in self.closing:
            raise ValueError(
                f"closing {self.closing!r} contains opening {self.opening!r}, so every end would also be a beginning; "
                "make them differ"
            )
        return self

    def answers(self, text: str) -> Iterator[Found]:
        """The content of each complete pair.

        A pair is an opening and the first closing after it with no other opening between them. So of nested openings,
        the innermost counts, and one that is never closed (a cut-off completion) does not hide another answer.
        """
        opening, closing = self.opening, self.closing
        if self.take == "first":
            at = 0
            while (opens := text.find(opening, at)) >= 0 and (closes := text.find(closing, opens + len(opening))) >= 0:
                opens = text.rfind(opening, opens, closes)
                yield opens, text[opens + len(opening) : closes]
                at = closes  # an opening may begin with the closing
            return
        end = len(text)
        while (closes := text.rfind(closing, 0, end)) >= 0 and (opens := text.rfind(opening, 0, closes)) >= 0:
            start = opens + len(opening)
            yield opens, text[start : text.find(closing, start)]
            end = opens

    def find(self, text: str) -> Found | None:
        """The answer that counts in a text that includes the prefix; numbers, the usual case, take a fast path."""
        if self.take == "last":
            opening, closing = self.opening, self.closing
            closes = text.rfind(closing)
            opens = text.rfind(opening, 0, closes) if closes > 0 else -1
            answer = text[opens + len(opening) : closes] if opens >= 0 else ""
            if answer[-1:].isdigit() and closing not in answer:
                return opens, answer
        return super().find(text)

    def place(self) -> str:
        if (tag := _TAG.fullmatch(self.opening)) and self.closing == f"</{tag[1]}>":
            return f"answers in {self.opening} tags"
        return f"answers between {clipped(repr(self.opening))} and {clipped(repr(self.closing))}"

    def written(self, answer: str, reasoning: str) -> str:
        gap = " " if reasoning and not self.opening[0].isspace() else ""
        return f"{reasoning}{gap}{self.opening}{answer}{self.closing}"

    def why_not(self, target: str) -> str:
        if self.cut(target) != target:
            return super().why_not(target)
        return (
            f"from between {self.opening!r} and {self.closing!r}: it is empty or contains one of them; change the "
            "answer, or the opening and closing of the answer format"
        )
