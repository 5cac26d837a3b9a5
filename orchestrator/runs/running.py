"""A running stage: its branch, its lock, its workers, and their progress and results."""

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
"""Seconds that a stage whose jobs are done keeps its share of the cluster for its plan's next stage."""


@dataclass
class Running:
    """A running stage."""

    branch: Branch
    state: StageState
    context: Context
    lock: FileLock
    crew: Crew
    done: list[Done | None]
    """The outcome of each job, in the jobs' order."""
    items: list[int]
    """Each job's number of items, in the unit that the stage counts."""
    leaves: list[tuple[Path, ...]]
    """Each job's output files, if it lists them."""
    before: int
    """Number of items done before the stage began."""
    tail: Tail
    finishing: bool = False
    """Whether the crew's only call is `finish`."""
    result: Done | None = None
    """The outcome of that call."""
    output: Output | None = None
    """The stage's output, while it is being written to the store."""
    worked: float | None = None
    """When its last job was done; None: jobs are still running."""

    @property
    def made(self) -> int:
        """Number of items done; for a job with several output files, estimated from those that exist."""
        return self.before + sum(
            items if done is not None else self._made_of(items, leaves)
            for done, items, leaves in zip(self.done, self.items, self.leaves, strict=True)
        )

    @staticmethod
    def _made_of(items: int, leaves: tuple[Path, ...]) -> int:
        return items * sum(path.exists() for path in leaves) // len(leaves) if len(leaves) > 1 else 0

    @property
    def keeps_share(self) -> bool:
        """Whether its share of the cluster is unavailable to other plans."""
        if self.worked is None:
            return True
        return self.branch.reads(self.state.stage.name) and time.monotonic() - self.worked < _KEPT

    def read_journal(self) -> list[dict[str, Any]]:
        """Read what the stage's jobs have reported since the last call; return the new points of its curves.

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
