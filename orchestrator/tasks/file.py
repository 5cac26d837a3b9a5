"""The task `file`: questions of one's own, from files alone."""

from typing import Literal

from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.tasks.base import Task


class FileTask(Task):
    """Every split is read from a file; nothing is generated."""

    type: Literal["file"] = "file"
    judge: Judge = NumericJudge()
