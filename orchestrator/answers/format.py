"""The answer format: how a question is asked and where the answer stands in what a model writes.

One object serves training, sampling, GRPO and evaluation, so that they cannot drift apart. It deals in text alone: it
must not know a tokenizer, a judge or a task.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.answers.numbers import format_number
from orchestrator.errors import DataError
from orchestrator.types import Answer

VERSION = 1
"""Raised whenever the same settings would ask, write or read differently: it is part of a stage's key."""

_SLOT = "{question}"


class AnswerFormat(BaseModel):
    """The contract between what is asked, what is trained on and what is read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = "{question}\n"
    """What the model reads; `{question}` stands in it exactly once. Other braces are plain text."""
    opening: str = Field(default="<answer>", min_length=1)
    """Stands before the answer."""
    closing: str = Field(default="</answer>", min_length=1)
    """Stands after the answer. Generation may stop there, if it leaves this text in the completion."""
    chat: bool = False
    """True: the prompt is one user message in the tokenizer's chat template, with its generation prompt."""

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        found = self.prompt.count(_SLOT)
        if found != 1:
            raise ValueError(f"prompt must hold {_SLOT} exactly once, it holds it {found} times: {self.prompt!r}")
        if not self.opening.strip():
            raise ValueError("opening is blank, so every gap between words would open an answer; give it some text")
        # The other way round is sound: "\n#### " may be closed by "\n".
        if self.opening in self.closing:
            raise ValueError(
                f"closing {self.closing!r} holds opening {self.opening!r}, so every end would be a beginning too; "
                "make them differ"
            )
        return self

    def prompt_text(self, question: str) -> str:
        """The user-visible prompt, before any chat template."""
        return self.prompt.replace(_SLOT, question)

    def target_text(self, answer: Answer, reasoning: str = "") -> str:
        """What a model should write: the reasoning, then the answer where `extract` finds it again.

        Raises DataError if it would not: an empty answer, or one that holds the opening or the closing text.
        """
        written = answer.strip() if isinstance(answer, str) else format_number(answer)
        reasoning = reasoning.rstrip()
        gap = " " if reasoning and not self.opening[0].isspace() else ""
        target = f"{reasoning}{gap}{self.opening}{written}{self.closing}"
        if self.extract(target) != written:
            raise DataError(
                f"answer {written!r} cannot be read back from between {self.opening!r} and {self.closing!r}: "
                "it is empty or holds one of them; change the answer, or the opening and closing of the answer format"
            )
        return target

    def extract(self, text: str) -> str | None:
        """The answer's raw text, stripped, from the last complete pair; None if there is no pair or it is empty.

        A pair is an opening and the first closing after it with no other opening between them. So of nested openings
        the innermost counts, and one that is never closed (a cut-off completion) does not hide an earlier answer.
        """
        start = text.rfind(self.opening, 0, max(text.rfind(self.closing), 0))
        if start < 0:
            return None
        start += len(self.opening)
        return text[start : text.find(self.closing, start)].strip() or None

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides what this format does, for a stage's key."""
        return {"version": VERSION, **self.model_dump()}
