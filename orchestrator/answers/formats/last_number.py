"""The format `last_number`: the answer is the last number of the text, for models that keep to no other format."""

from typing import ClassVar, Literal

from orchestrator.answers.formats.base import AnswerFormat
from orchestrator.answers.last_number import last_number


class LastNumberFormat(AnswerFormat):
    """`... so there are 72 eggs.`; of several numbers the last counts, even one of a sentence that was cut off."""

    VERSION: ClassVar[int] = 4

    type: Literal["last_number"] = "last_number"

    def find(self, text: str) -> tuple[int, str] | None:
        """The last number as it is written, with its sign, currency and percent sign."""
        return last_number(text)

    def written(self, answer: str, reasoning: str) -> str:
        # on the same line, `1 000` would be neither 1 nor 0
        gap = "\n" if reasoning[-1:].isnumeric() else " " if reasoning else ""
        return f"{reasoning}{gap}{answer}"
