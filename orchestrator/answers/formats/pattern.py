"""The format `regex`: the answer is where a user's own pattern finds it."""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from orchestrator.answers.formats.base import AnswerFormat, Found
from orchestrator.schema import clipped

_SLOT = "{answer}"


class RegexFormat(AnswerFormat):
    """The match of `pattern`: its group named `answer`, else its first group; of several matches, the last counts."""

    guarded: ClassVar[bool] = True  # a pattern may backtrack forever

    type: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1)
    """A regular expression for Python's `re`; `(?i)` at the beginning ignores case."""
    target: str = _SLOT
    """The text a model should write, with `{answer}` for the answer: it cannot be derived from the pattern."""

    @model_validator(mode="after")
    def _is_a_pattern(self) -> Self:
        try:
            compiled = re.compile(self.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"pattern {self.pattern!r} is not a regular expression: {error}") from None
        if not compiled.groups:
            raise ValueError(f"pattern {self.pattern!r} has no group: put the answer in (...) or (?P<answer>...)")
        if self.target.count(_SLOT) != 1:
            raise ValueError(f"target must contain {_SLOT} exactly once: {self.target!r}")
        return self

    def answers(self, text: str) -> Iterable[Found]:
        """The group in each match that has it; the match's start counts as its opening."""
        group: str | int = "answer" if "answer" in self._compiled.groupindex else 1
        found = [(match.start(), match[group]) for match in self._compiled.finditer(text) if match[group]]
        return found if self.take == "first" else reversed(found)

    def place(self) -> str:
        return f"answers found by the pattern {clipped(self.pattern)}"

    def written(self, answer: str, reasoning: str) -> str:
        return f"{reasoning}{' ' if reasoning else ''}{self.target.replace(_SLOT, answer)}"

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)
