"""The task `units`: unit conversion, with generated questions or questions from a file."""

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.errors import DataError
from orchestrator.tasks import units_questions as unit_questions
from orchestrator.tasks.base import Task
from orchestrator.tasks.splits import Split
from orchestrator.tasks.units_questions import UnitSettings
from orchestrator.types import Example


class UnitsTask(Task):
    """How far is 26.2 miles in km? Answers within 5% are correct."""

    VERSION: ClassVar[int] = unit_questions.VERSION

    type: Literal["units"] = "units"
    questions: UnitSettings = Field(default_factory=UnitSettings)
    """How hard the generated questions are."""
    judge: Judge = NumericJudge(tolerance=0.05, decimals=3)

    @field_validator("judge", mode="before")
    @classmethod
    def _judged_as_published(cls, value: Any) -> Any:
        """Setting one judge option keeps the task's defaults for the others: 5%, both sides rounded to 3 decimals."""
        if not isinstance(value, dict) or value.get("type", "numeric") != "numeric":
            return value
        return {"tolerance": 0.05, "decimals": 3} | {name: said for name, said in value.items() if said is not None}

    def generate(self, split: Split, n: int) -> list[Example]:
        try:
            return unit_questions.generate(split, n, self.seed, self.questions, self.format)
        except ValueError as error:
            raise DataError(f"{self.where(split)}: {error}") from None

    def generator(self, split: Split) -> dict[str, Any]:
        return {"seed": self.seed, "questions": self.questions.model_dump(mode="json")}
