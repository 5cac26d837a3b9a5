"""Whether a sweep can afford another trial."""

import time
from collections.abc import Sequence

from orchestrator.plan.forecast import PastCost, forecast
from orchestrator.plan.plan import Plan, Stage
from orchestrator.recipe.sweep import Budget
from orchestrator.runs.progress import Branch
from orchestrator.runs.scheduler import Walk

_ENDED = ("done", "cached", "failed", "stopped", "skipped")


class Spending:
    """What a sweep has spent and will spend, compared with its budget.

    A stage's cost is estimated from past runs of its kind, else from the stages with its name in this sweep; if nothing
    is known, it counts as zero. `slots` is the number of trials that the machine has room for.
    """

    def __init__(self, budget: Budget | None, past: Sequence[PastCost], walk: Walk, slots: int) -> None:
        self._budget, self._past, self._walk, self._slots = budget, past, walk, slots
        self._began = time.monotonic()

    def affordable(self, branches: Sequence[Branch], plans: Sequence[Plan]) -> bool:
        """Whether the budget allows these plans, in addition to the branches that are running or have ended."""
        if self._budget is None:
            return True
        states = [state for branch in branches for state in branch.states.values()]
        ended = {state.stage.key: state for state in states if state.state in _ENDED}
        took: dict[str, list[float]] = {}
        for state in ended.values():
            if state.state == "done":
                took.setdefault(state.stage.name, []).append(state.seconds)
        to_come: dict[str, tuple[Stage, float]] = {}
        for plan in (*(branch.plan for branch in branches if branch.result is None), *plans):
            predicted = forecast(plan, self._past)
            for stage in plan.stages:
                if stage.key not in ended and stage.cached is None:
                    here, known = took.get(stage.name, [0.0]), predicted.get(stage.name)
                    to_come[stage.key] = stage, sum(here) / len(here) if known is None else known.seconds
        if self._budget.hours is not None:
            left = sum(seconds for _, seconds in to_come.values()) / self._slots
            return time.monotonic() - self._began + left <= 3600 * self._budget.hours
        assert self._budget.gpu_hours is not None
        spent = sum(state.seconds * self._gpus(state.stage) for state in ended.values() if state.state != "cached")
        left = sum(seconds * self._gpus(stage) for stage, seconds in to_come.values())
        return spent + left <= 3600 * self._budget.gpu_hours

    def _gpus(self, stage: Stage) -> float:
        """The GPUs of one job of a stage."""
        cluster = self._walk.cluster
        return 0.0 if cluster is None else stage.spec.share(cluster.cores, cluster.gpus).all_gpus
