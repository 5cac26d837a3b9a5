"""Which columns of a table contain what, as given in a recipe. Knows only names, no rows."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.tasks.cells import top_column

AppendAnswer = Literal["auto", "always", "never"]
DEMONSTRATION = "demonstration"
SOLUTION = "solution"
"""The name of a column of worked solutions."""
USUAL = {
    "question": ("question", "problem", "prompt", "query", "input", "instruction", "q", "text"),
    "answer": (
        *("answer", "final_answer", "gold", "ground_truth", "target", "expected", "label", "output", "response"),
        *("completion", "chosen", "result", "a"),
    ),
    "demonstration": (
        *("solution", "demonstration", "worked_solution", "rationale", "reasoning", "explanation", "steps", "cot"),
    ),
}
"""Common column names by content, the likeliest first."""
CHAT = ("messages", "conversations", "conversation", "chat", "dialogue")
"""Names of columns that contain both a question and its answer."""
FIELD = re.compile(r"\{([^{}\n]+)\}")
"""A column reference in a text built from several columns."""


def usual(role: str, names: Sequence[str]) -> str | None:
    """The table column that, judging by its name, may contain this; None if there is none."""
    lowered = {name.lower().replace(" ", "_").replace("-", "_"): name for name in reversed(names)}
    return next((lowered[name] for name in (*USUAL.get(role, ()), *CHAT) if name in lowered), None)


def parts(name: str) -> list[str]:
    """The columns that a text like `{instruction} {input}` is built from; for a plain name, that one."""
    return FIELD.findall(name) or [name]


class Worked(BaseModel):
    """The column of worked solutions, and how to handle solutions that do not end in an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1)
    """The column of the worked solution."""
    append_answer: AppendAnswer = "auto"
    """auto: the gold answer is appended, as `format` writes it, if the format finds no answer in the solution;
    always: to every solution; never: solutions are used as they are."""


class Columns(BaseModel):
    """Which columns of the file contain what. Not needed for rows that are [question, answer] pairs.

    A name with dots is the column of that name, else a field inside one: `extra.gold` is `gold` in `extra`. A text with
    columns in braces is built from them: `{instruction} {input}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(default="question", min_length=1)
    """The column of the question."""
    answer: str = Field(default="answer", min_length=1)
    """The column of the gold answer."""
    demonstration: Annotated[str, Field(min_length=1)] | Worked | None = None
    """The column of the worked solution; None: `demonstration` if there is one, for demonstrations also `solution`."""
    id: str | None = Field(default=None, min_length=1)
    """None: the column `id` if there is one."""
    data: str | None = Field(default=None, min_length=1)
    """The column of further data to judge by, an object in each row; None: there is none."""

    @property
    def worked(self) -> str:
        """The column of the worked solution, if there is one."""
        named = self.demonstration
        return DEMONSTRATION if named is None else named.column if isinstance(named, Worked) else named

    @property
    def append_answer(self) -> AppendAnswer:
        """When the gold answer is appended to a worked solution."""
        return self.demonstration.append_answer if isinstance(self.demonstration, Worked) else "auto"

    def of_solutions(self, names: Sequence[str]) -> "Columns":
        """The same for a table of worked solutions with these columns, whose solution column may be left unnamed."""
        if self.demonstration is not None or DEMONSTRATION in names or SOLUTION not in names:
            return self
        return self.model_copy(update={"demonstration": SOLUTION})

    def named(self) -> dict[str, str]:
        """The required columns, by content."""
        found = self.model_dump(exclude_none=True)
        return found | ({} if self.demonstration is None else {"demonstration": self.worked})

    def used(self) -> set[str]:
        """The columns that are read if they exist."""
        named = {self.question, self.answer, self.worked, self.id or "id"}
        named |= {SOLUTION} if self.demonstration is None else set()
        return named | ({self.data} if self.data else set())

    def among(self, names: Sequence[str]) -> list[str]:
        """The columns to read from a table: those used, and those that contain used ones."""
        tops = {
            top_column(part, names) for name in self.used() for part in (parts(name) if name not in names else [name])
        }
        return [name for name in dict.fromkeys(names) if name in tops]
