"""The task `file`: questions of one's own, from files alone."""

from dataclasses import replace
from typing import Literal

from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.tasks.base import Task
from orchestrator.tasks.rows import Row


class FileTask(Task):
    """Every split is read from a file; nothing is generated."""

    type: Literal["file"] = "file"
    judge: Judge = NumericJudge()

    def read_row(self, row: Row) -> Row:
        """The gold answer of a worked solution that ends in one, as the answer format writes it, and that solution."""
        found = self.format.ending(row.answer)
        if found is None or self.judge.check_gold(found) is not None:
            return row
        if self.format.written(found, "") == found and self.judge.check_gold(row.answer) is None:
            return row  # the format adds nothing to an answer: the last number of `Room 5` is no answer cut off
        return replace(row, answer=found, demonstration=row.demonstration or row.answer)
