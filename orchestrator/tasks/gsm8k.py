"""The task `gsm8k`: grade-school word problems in GSM8K's published form, from the Hub or a file.

The answer column contains a worked solution, with `<<48/2=24>>` after each step and `#### 72` as its last line. It must
not know where rows were read, nor how the answer format writes an answer.
"""

import re
from dataclasses import replace
from typing import Any, Literal

from pydantic import field_validator

from orchestrator.answers.formats import Format, HashFormat
from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.answers.numbers import parse_number
from orchestrator.tasks.base import Task
from orchestrator.tasks.files import short
from orchestrator.tasks.rows import Row
from orchestrator.tasks.source import KINDS, Source

PROMPT = "Question: {question}\nAnswer:\n"
PUBLISHED = {"hub": "openai/gsm8k", "config": "main"}
"""The default for a source that does not give the location of its rows."""
_MARK = "####"
_ANNOTATION = re.compile(r"<<[^<>]*>>")


class Gsm8kTask(Task):
    """How many clips did Natalia sell altogether? The same number is correct, however it is written."""

    type: Literal["gsm8k"] = "gsm8k"
    annotations: Literal["strip", "keep"] = "strip"
    """Whether annotations like `<<48/2=24>>` stay in the worked solutions shown to a model."""
    train: Source | None = Source.model_validate(PUBLISHED)
    test: Source = Source.model_validate(PUBLISHED)
    format: Format = HashFormat(prompt=PROMPT)
    judge: Judge = NumericJudge(tolerance=0.0)

    @field_validator("demonstrations", "train", "test", "validation", mode="before")
    @classmethod
    def _of_the_published(cls, value: Any) -> Any:
        return PUBLISHED | value if isinstance(value, dict) and not value.keys() & set(KINDS) else value

    @field_validator("format", mode="before")
    @classmethod
    def _asked_as_usual(cls, value: Any) -> Any:
        return {"type": "hash", "prompt": PROMPT} | value if isinstance(value, dict) else value

    @field_validator("judge", mode="before")
    @classmethod
    def _judged_exactly(cls, value: Any) -> Any:
        """Setting another judge option must not restore the judge's default tolerance."""
        numeric = isinstance(value, dict) and value.get("type", "numeric") == "numeric"
        return {"tolerance": 0.0} | value if numeric else value

    def read_row(self, row: Row) -> Row:
        """Use the text after the last `####` as the gold answer, and the text before it as the worked solution."""
        solution, mark, gold = row.answer.rpartition(_MARK)
        gold = gold.strip()
        if not mark:
            raise ValueError(
                f"the solution has no '{_MARK}' with its answer at the end: add it, or set task.type: file "
                f"({short(gold[-50:])})"
            )
        if parse_number(gold) is None:
            raise ValueError(f"after the last '{_MARK}' is {short(gold)}: write one number there, like 72 or 1,450")
        reasoning = solution.strip() if self.annotations == "keep" else _ANNOTATION.sub("", solution).strip()
        written = self.format.target_text(gold, reasoning) if reasoning else None
        return replace(row, answer=gold, demonstration=row.demonstration or written)
