"""A stage that is running: whose it is, its lock, its workers, what they tell and what came of them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from orchestrator.runs.crew import Crew, Done
from orchestrator.runs.progress import Branch
from orchestrator.runs.state import StageState
from orchestrator.stages.context import Context, Output
from orchestrator.training.journal import Tail
from orchestrator.types import Finding

_KEPT = 0.15
"""Seconds that a stage whose jobs are done keeps its share of the machine for its plan's next stage."""


@dataclass
class Running:
    """A stage at work."""

    branch: Branch
    state: StageState
    context: Context
    lock: FileLock
    crew: Crew
    done: list[Done | None]
    """What came of each job, in the jobs' order."""
    items: list[int]
    """What each of them makes of what the stage counts."""
    leaves: list[tuple[Path, ...]]
    """The files that each of them leaves, if it says so."""
    before: int
    """How much of what the stage counts was made before it began."""
    tail: Tail
    finishing: bool = False
    """Whether the crew's one call is `finish`."""
    result: Done | None = None
    """What that call gave."""
    output: Output | None = None
    """What it has made, while that is being written to the store."""
    worked: float | None = None
    """When its last job was done; None: it is at work."""

    @property
    def made(self) -> int:
        """How much of what the stage counts is made; of a job that leaves several files, by those that are there."""
        return self.before + sum(
            items if done is not None else self._made_of(items, leaves)
            for done, items, leaves in zip(self.done, self.items, self.leaves, strict=True)
        )

    @staticmethod
    def _made_of(items: int, leaves: tuple[Path, ...]) -> int:
        return items * sum(path.exists() for path in leaves) // len(leaves) if len(leaves) > 1 else 0

    @property
    def keeps_share(self) -> bool:
        """Whether no other plan may have its share of the machine."""
        if self.worked is None:
            return True
        return self.branch.reads(self.state.stage.name) and time.monotonic() - self.worked < _KEPT

    def read_journal(self) -> list[dict[str, Any]]:
        """Take in what the stage's jobs have told of their progress since the last look: the new points of its curves.

        Findings are passed on at once.
        """
        points = []
        for record in self.tail.new():
            if "finding" in record:
                self.branch.notice(self.state, Finding(**record["finding"]))
            elif "total" in record:
                self.state.progress(record["step"], record["total"])
            else:
                points.append(record)
                metrics, name = record["metrics"], self.state.stage.spec.HEADLINE
                if "eval_accuracy" in metrics:
                    self.state.measured[record["step"]] = (metrics["eval_accuracy"], record.get("right", ""))
                if name in metrics:
                    self.state.figure = f"{name} {metrics[name]:.3f}"
        return points
