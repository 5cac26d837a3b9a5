"""The task `file`: the user's own questions, read from files."""

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
        """If the answer is a worked solution that ends as the format requires, take the gold answer out of it."""
        found = self.format.ending(row.answer)
        if found is None or self.judge.check_gold(found) is not None:
            return row
        if self.format.written(found, "") == found and self.judge.check_gold(row.answer) is None:
            return row  # the format adds nothing to an answer: the last number of `Room 5` is not an answer
        return replace(row, answer=found, demonstration=row.demonstration or row.answer)
