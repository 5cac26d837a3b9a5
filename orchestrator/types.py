"""The nouns that flow between the parts. Standard library only."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["correct", "wrong", "unparsed", "truncated", "timeout", "error"]
FinishReason = Literal["stop", "length"]
Answer = float | str


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its gold answer."""

    id: str
    question: str
    answer: Answer
    demonstration: str | None = None
    """The worked solution exactly as a model should write it, answer included; None: questions and answers only."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One draw from a model."""

    example_id: str
    draw: int
    text: str
    n_tokens: int
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a completion."""

    status: Status
    value: str | None = None
    """The parsed answer as text, None where none was found."""
