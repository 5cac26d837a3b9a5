"""The task `dyck`: complete a bracket sequence, with generated questions or questions from a file.

A question ends in an open sequence, and its answer is the shortest ending that balances it: only the closing brackets.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.answers.formats import Format, MarkerFormat
from orchestrator.answers.judges import Judge, SequenceJudge
from orchestrator.errors import DataError
from orchestrator.tasks import dyck_sequences
from orchestrator.tasks.base import Task
from orchestrator.tasks.dyck_sequences import LONGER, DyckSettings, flaw, sequence_in, spaced, worked
from orchestrator.tasks.files import short
from orchestrator.tasks.rows import Row
from orchestrator.tasks.splits import Split
from orchestrator.types import Example


class DyckTask(Task):
    """What closes ( [ { ? The same brackets in the same order are correct, however they are spaced."""

    VERSION: ClassVar[int] = dyck_sequences.VERSION

    type: Literal["dyck"] = "dyck"
    sequences: DyckSettings = Field(default_factory=DyckSettings)
    """How hard the generated sequences are."""
    format: Format = MarkerFormat()
    judge: Judge = SequenceJudge(by="character")

    @field_validator("format", mode="before")
    @classmethod
    def _answered_as_usual(cls, value: Any) -> Any:
        return {"type": "marker"} | value if isinstance(value, dict) else value

    @field_validator("judge", mode="before")
    @classmethod
    def _judged_by_bracket(cls, value: Any) -> Any:
        """Setting another judge option must not restore `by: item`, for which `])` would be a single item."""
        sequence = isinstance(value, dict) and value.get("type", "sequence") == "sequence"
        return {"type": "sequence", "by": "character"} | value if sequence else value

    def generate(self, split: Split, n: int) -> list[Example]:
        try:
            return dyck_sequences.generate(split, n, self.seed, self.sequences, self.format)
        except (ValueError, DataError) as error:
            raise DataError(f"{self.where(split)}: {error}") from None

    def generator(self, split: Split) -> dict[str, Any]:
        of_others = {"lengths" if split == LONGER else LONGER}
        return {"seed": self.seed, "sequences": self.sequences.model_dump(mode="json", exclude=of_others)}

    def read_row(self, row: Row) -> Row:
        """Check that the answer is the shortest ending, and add a worked solution if there is none."""
        sequence = sequence_in(row.question)
        if not sequence:
            raise ValueError(
                f"the question does not end in brackets: put the open sequence at its end, like '( [ {{' "
                f"({short(row.question[-50:])})"
            )
        answer = "".join(row.answer.split())
        if (why := flaw(sequence, answer)) is not None:
            raise ValueError(
                f"{why}: correct the row (question {short(row.question[-50:])}, answer {short(row.answer)})"
            )
        solution = row.demonstration or self.format.target_text(spaced(answer), worked(sequence)[0])
        return replace(row, demonstration=solution)
