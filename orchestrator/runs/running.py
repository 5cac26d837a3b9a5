"""A stage that is about to start, and one that is running: who has it, its lock, its workers, what came of them."""

import time
from dataclasses import dataclass

from filelock import FileLock

from orchestrator.runs.crew import Crew, Done
from orchestrator.runs.progress import Branch
from orchestrator.runs.state import StageState
from orchestrator.stages.context import Context, Output
from orchestrator.training.journal import Tail

_KEPT = 0.15
"""Seconds that a stage whose jobs are done keeps its share of the machine for its plan's next stage."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A stage that is about to start: its key's lock, and the share of the machine that each of its jobs gets."""

    branch: Branch
    state: StageState
    lock: FileLock
    cpus: int
    gpus: float


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
    def keeps_share(self) -> bool:
        """Whether no other plan may have its share of the machine."""
        if self.worked is None:
            return True
        return self.branch.reads(self.state.stage.name) and time.monotonic() - self.worked < _KEPT
