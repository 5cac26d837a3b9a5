"""Stages that are about to start: which of a walk's waiting stages may, and what share of the machine each gets.

A stage is claimed where it is made by nobody else, where the machine has room for it, and where its lock is free. Plans
that come first have right of way; a cluster that was joined may grow with what is asked of it, so there is always room.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from filelock import FileLock

from orchestrator.plan.plan import Stage
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.progress import Branch
from orchestrator.runs.running import Running
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder


@dataclass(frozen=True, slots=True)
class Claim:
    """A stage that is about to start: its key's lock, and the share of the machine that each of its jobs gets."""

    branch: Branch
    state: StageState
    lock: FileLock
    cpus: int
    gpus: float


class Claims:
    """The claims of one walk, in the order in which they were made. `running`: by key, the stages at work."""

    def __init__(
        self, branches: Sequence[Branch], running: Mapping[str, Running], work: WorkFolder, cluster: Cluster | None
    ) -> None:
        self._branches, self._running, self._work, self._cluster = branches, running, work, cluster
        self._claims: dict[str, Claim] = {}
        """By key."""

    def __iter__(self) -> Iterator[Claim]:
        return iter(list(self._claims.values()))

    @property
    def stages(self) -> list[Stage]:
        """The stages that are claimed."""
        return [claim.state.stage for claim in self]

    def claim(self, branch: Branch, state: StageState) -> None:
        """Claim a stage if it can be started now; else its figure says who makes it, where somebody does."""
        stage = state.stage
        if stage.key in self._running or stage.key in self._claims:
            other = (self._running.get(stage.key) or self._claims[stage.key]).branch
            state.figure = "for a stage like it" if other is branch else f"for {other.title}"
            return
        assert self._cluster is not None
        cpus, gpus = stage.spec.share(self._cluster.cores, self._cluster.gpus)
        if not self._room(self._cluster, branch, cpus, gpus):
            return
        lock = self._work.lock(stage.key)
        if lock is None:
            state.figure = "for another orch run"
            return
        self._claims[stage.key] = Claim(branch, state, lock, cpus, gpus)

    def settle(self, claim: Claim) -> None:
        """A claim is dealt with; the lock is let go where the stage is not running."""
        key = claim.state.stage.key
        del self._claims[key]
        if key not in self._running:
            self._work.release(claim.lock)

    def _room(self, cluster: Cluster, branch: Branch, cpus: int, gpus: float) -> bool:
        """Whether a plan may ask for a job's share now."""
        first = next(b for b in self._branches if not b.settled)
        if branch is first or cluster.joined or not (self._running or self._claims) or not (cpus or gpus):
            return True
        shares = [(claim.cpus, claim.gpus) for claim in self]
        for running in self._running.values():
            if running.keeps_share:
                jobs = running.crew.left or 1
                shares.append((jobs * running.context.cpus, jobs * running.context.gpus))
        free_cpus = cluster.total_cores - sum(cpus for cpus, _ in shares)
        free_gpus = cluster.gpus - sum(gpus for _, gpus in shares)
        return cpus <= free_cpus and gpus <= free_gpus
