"""Claims on stages that are about to start: which waiting stages may start, and which share of the cluster each gets.

A stage is claimed if nobody else is running it, the cluster has room for it, and its lock is free. Earlier plans go
first. A cluster that was joined may scale up on demand, so it always counts as having room.
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
from orchestrator.stages.context import Share


@dataclass(frozen=True, slots=True)
class Claim:
    """A stage that is about to start: the lock on its key, and the share of the cluster that each of its jobs gets."""

    branch: Branch
    state: StageState
    lock: FileLock
    share: Share


class Claims:
    """The claims of one walk, in the order they were made. `running`: the running stages, by key."""

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
        """The claimed stages."""
        return [claim.state.stage for claim in self]

    def claim(self, branch: Branch, state: StageState) -> None:
        """Claim a stage if it can start now; otherwise set its figure to say who is running it, if anyone is."""
        stage = state.stage
        if stage.key in self._running or stage.key in self._claims:
            other = (self._running.get(stage.key) or self._claims[stage.key]).branch
            state.figure = "for an identical stage" if other is branch else f"for {other.title}"
            return
        assert self._cluster is not None
        share = stage.spec.share(self._cluster.cores, self._cluster.gpus)
        if not self._room(self._cluster, branch, share):
            return
        lock = self._work.lock(stage.key)
        if lock is None:
            state.figure = "for another orch run"
            return
        self._claims[stage.key] = Claim(branch, state, lock, share)

    def settle(self, claim: Claim) -> None:
        """Drop a claim that has been handled; release its lock if the stage is not running."""
        key = claim.state.stage.key
        del self._claims[key]
        if key not in self._running:
            self._work.release(claim.lock)

    def _room(self, cluster: Cluster, branch: Branch, share: Share) -> bool:
        """Whether a plan may claim a job's share now."""
        first = next(b for b in self._branches if not b.settled)
        if branch is first or cluster.joined or not (self._running or self._claims) or not (share.cpus or share.gpus):
            return True
        shares = [(claim.share.all_cpus, claim.share.all_gpus) for claim in self]
        for running in self._running.values():
            if running.keeps_share:
                jobs = running.crew.left or 1
                one = running.context.share
                shares.append((jobs * one.all_cpus, jobs * one.all_gpus))
        free_cpus = cluster.total_cores - sum(cpus for cpus, _ in shares)
        free_gpus = cluster.gpus - sum(gpus for _, gpus in shares)
        return share.all_cpus <= free_cpus and share.all_gpus <= free_gpus
