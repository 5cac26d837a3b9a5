"""The format `last_number`: the answer is the last number in the text, for models that follow no other format."""

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from orchestrator.answers.formats.base import AnswerFormat, Found
from orchestrator.answers.last_number import last_number


class LastNumberFormat(AnswerFormat):
    """`... so there are 72 eggs.`; of several numbers, the last counts, even in a sentence that was cut off."""

    VERSION: ClassVar[int] = 4

    type: Literal["last_number"] = "last_number"

    @model_validator(mode="after")
    def _takes_the_last(self) -> Self:
        if self.take != "last":
            raise ValueError("take: first is not possible with last_number: leave it out, or choose another format")
        return self

    def answers(self, text: str) -> Iterable[Found]:
        """The last number as written, with its sign, currency and percent sign."""
        found = last_number(text)
        return () if found is None else (found,)

    def place(self) -> str:
        return "the last number is the answer"

    def written(self, answer: str, reasoning: str) -> str:
        # on the same line, `1 000` would be neither 1 nor 0
        gap = "\n" if reasoning[-1:].isnumeric() else " " if reasoning else ""
        return f"{reasoning}{gap}{answer}"
