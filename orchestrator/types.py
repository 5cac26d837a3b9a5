"""The nouns that flow between the parts. Standard library only."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["correct", "wrong", "unparsed", "truncated", "timeout", "error"]
FinishReason = Literal["stop", "length"]
Answer = float | str
Severity = Literal["error", "warning", "info"]


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


@dataclass(frozen=True, slots=True)
class Finding:
    """What a health check found."""

    check: str
    """Which check, in kebab case: `labels-masked`."""
    severity: Severity
    """`error`: the numbers would be, or are, wrong; `warning`: look at it; `info`: good to know."""
    what: str
    """One sentence."""
    evidence: str
    """What was measured or seen; may have several lines."""
    cause: str
    """The most likely one."""
    remedy: str
    """What to do."""
