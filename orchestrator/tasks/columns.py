"""Which columns of a table hold what, as a recipe says it. Knows names alone, no row."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.tasks.cells import top_column

AppendAnswer = Literal["auto", "always", "never"]
DEMONSTRATION = "demonstration"
SOLUTION = "solution"
"""What a column of worked solutions is called."""
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
"""What columns are called elsewhere, by what they hold, the likeliest name first."""
CHAT = ("messages", "conversations", "conversation", "chat", "dialogue")
"""Columns that hold a question and the answer to it."""
FIELD = re.compile(r"\{([^{}\n]+)\}")
"""A column in a text that is made of several."""


def usual(role: str, names: Sequence[str]) -> str | None:
    """The column of a table that by its name may hold this; None: there is none."""
    lowered = {name.lower().replace(" ", "_").replace("-", "_"): name for name in reversed(names)}
    return next((lowered[name] for name in (*USUAL.get(role, ()), *CHAT) if name in lowered), None)


def parts(name: str) -> list[str]:
    """The columns that a text like `{instruction} {input}` is made of; of a plain name that one."""
    return FIELD.findall(name) or [name]


class Worked(BaseModel):
    """The column of worked solutions, and what is done with one that does not end in an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1)
    """The column of the worked solution."""
    append_answer: AppendAnswer = "auto"
    """auto: the gold answer is appended, as `format` writes it, where the format finds no answer in the solution;
    always: to every solution; never: solutions are taken as they are."""


class Columns(BaseModel):
    """Which columns of the file hold what. Rows that are [question, answer] pairs need none.

    A name with dots is the column of that name, else a field inside one: `extra.gold` is `gold` in `extra`. A text with
    columns in braces is made of these: `{instruction} {input}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(default="question", min_length=1)
    """The column of the question."""
    answer: str = Field(default="answer", min_length=1)
    """The column of the gold answer."""
    demonstration: Annotated[str, Field(min_length=1)] | Worked | None = None
    """The column of the worked solution; None: `demonstration` if there is one, of demonstrations also `solution`."""
    id: str | None = Field(default=None, min_length=1)
    """None: the column `id` if there is one."""
    data: str | None = Field(default=None, min_length=1)
    """The column of what the task judges by beside the answer, an object in each row; None: there is none."""

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
        """The same for a table of worked solutions with these columns: that of the solutions may be left unnamed."""
        if self.demonstration is not None or DEMONSTRATION in names or SOLUTION not in names:
            return self
        return self.model_copy(update={"demonstration": SOLUTION})

    def named(self) -> dict[str, str]:
        """The columns that have to be there, by what they hold."""
        found = self.model_dump(exclude_none=True)
        return found | ({} if self.demonstration is None else {"demonstration": self.worked})

    def used(self) -> set[str]:
        """The columns that are looked at, where there are such."""
        named = {self.question, self.answer, self.worked, self.id or "id"}
        named |= {SOLUTION} if self.demonstration is None else set()
        return named | ({self.data} if self.data else set())

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a table's columns that are read: the ones used, and the ones that hold such."""
        tops = {
            top_column(part, names) for name in self.used() for part in (parts(name) if name not in names else [name])
        }
        return [name for name in dict.fromkeys(names) if name in tops]
