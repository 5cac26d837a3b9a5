"""A running sweep: trials are fed to the scheduler as the machine has room, then the winner is tested.

Guarantees:

- Trials are chosen on the metric's split alone. The test split is used once, at the end, for the proposed trial and for
  the recipe's own values.
- A trial that fails is just one failed trial. A sweep ends when its trials have ended or its budget is spent; trials
  started by then run to completion.
- Trials have priority by their number, since their plans are added in this order.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.comparison import Evaluated
from orchestrator.errors import DataError, InputError, OutputError, RecipeError
from orchestrator.plan.forecast import PastCost
from orchestrator.plan.plan import Trial
from orchestrator.runs.failure import one_line
from orchestrator.runs.progress import Branch
from orchestrator.runs.scheduler import Walk
from orchestrator.store.base import Store
from orchestrator.store.names import PROPOSED, RESULTS
from orchestrator.sweeps.budget import Spending
from orchestrator.sweeps.choosing import Standings, standings
from orchestrator.sweeps.proposing import Proposer
from orchestrator.sweeps.pruning import new_points, pruner
from orchestrator.sweeps.record import KnownTrial, measured
from orchestrator.sweeps.variants import Label, Variants

State = Literal["running", "complete", "pruned", "failed"]
Phase = Literal["trials", "finalists", "test", "done"]


@dataclass
class Tried:
    """A running or ended trial."""

    number: int
    values: Label
    branches: list[Branch] = field(default_factory=list)
    """One per seed."""
    run_id: str = ""
    """The run of its first seed."""
    state: State = "running"
    value: float | None = None
    error: str | None = None
    """Why it failed or was ended early."""
    again: bool = False
    """Whether an earlier run of the sweep finished it: its stages are reused."""


class Search:
    """Feeds the trials of a sweep to a walk.

    `known` are the trials of earlier runs of the same sweep; `open_branches` creates the branches of trials, one per
    seed; `slots` is the number of trials that the machine has room for.
    """

    def __init__(
        self,
        variants: Variants,
        walk: Walk,
        store: Store,
        proposer: Proposer,
        known: Sequence[KnownTrial],
        open_branches: Callable[[Sequence[tuple[Trial, Label]]], list[Branch]],
        logged: Callable[[Branch, float | None], None],
        past: list[PastCost],
        slots: int,
    ) -> None:
        self.variants, self.walk, self.store, self.proposer = variants, walk, store, proposer
        self._open_branches, self._logged = open_branches, logged
        # as many again, ready to follow; not for tpe, where each later proposal knows more results
        self._at_once = variants.sweep.max_concurrent or slots * (1 if variants.adapts else 2)
        early = variants.sweep.early_terminate
        self._pruner = None if early is None else pruner(early)
        self._measured: dict[str, set[int]] = {}
        """For each branch, by its title: the steps of the points that the pruner has seen."""
        self._pruned = {repr(dict(one.values)): one for one in known if one.pruned is not None}
        self._again = deque(one.values for one in known if one.value is not None) if variants.adapts else deque()
        """Finished trials that the proposer learns from: they come first, so that it proposes new settings."""
        self.run_id = ""
        """The id of the sweep's run."""
        self.phase: Phase = "trials"
        self.trials: list[Tried] = []
        self.spent_out = False
        """Whether the budget has kept a trial from starting."""
        self._began = time.monotonic()
        self._spending = Spending(variants.sweep.budget, past, walk, slots)
        self._asked_all = False
        self.standings: Standings | None = None
        """Set once the trials have ended and at least one is complete."""
        self.lost: list[str] = []
        """The errors that kept further seeds of finalists from completing."""
        self.tested: dict[str, list[Branch]] = {}
        """In the last phase: the branches of the proposed trial and of the recipe's own values."""

    @property
    def ended(self) -> bool:
        """Whether the proposed trial has been tested, or there is none."""
        return self.phase == "done"

    @property
    def best(self) -> Tried | None:
        """The complete trial with the highest accuracy so far."""
        complete = [trial for trial in self.trials if trial.value is not None]
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    @property
    def expected(self) -> int | None:
        """Number of trials there will be, as far as that is known."""
        sizes = [size for size in (self.variants.sweep.run_cap, self.variants.sweep.size) if size is not None]
        return len(self.trials) if self._asked_all else min(sizes, default=None)

    @property
    def gpus_busy(self) -> float:
        """GPUs in use by running stages."""
        return sum(running.context.share.all_gpus * running.crew.working for running in self.walk.running.values())

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the remaining trials, at the pace of those so far; None: not known yet."""
        ended = sum(trial.state != "running" for trial in self.trials)
        if not ended or self.expected is None or self.phase != "trials":
            return None
        return (time.monotonic() - self._began) / ended * (self.expected - ended)

    def look(self) -> None:
        """Process what has ended, and start what comes next."""
        for trial in self.trials:
            if trial.state == "running":
                self._prune(trial)
                self._take_in(trial)
        if self.phase == "trials":
            self._propose()
            if self._asked_all and self._all_ended():
                self._choose()
        elif self.phase == "finalists" and self._all_ended():
            self._choose()
        elif self.phase == "test" and all(b.result is not None for side in self.tested.values() for b in side):
            self.phase = "done"

    def _all_ended(self) -> bool:
        return all(trial.state != "running" for trial in self.trials)

    def _propose(self) -> None:
        """Start as many trials as may be open."""
        begun: list[tuple[Tried, list[Trial]]] = []
        while not self._asked_all and sum(trial.state == "running" for trial in self.trials) < self._at_once:
            again = bool(self._again)
            values = self._next()
            if values is None:
                break
            trial = Tried(len(self.trials), values, again=again)
            if (earlier := self._pruned.get(repr(dict(values)))) is not None:
                trial.state, trial.error, trial.run_id = "pruned", earlier.pruned, earlier.run_id
            else:
                try:
                    planned = [self.variants.trial(trial.number, values, seed) for seed in self.variants.seeds]
                except (DataError, RecipeError, InputError) as error:  # some values are incompatible
                    trial.state, trial.error = "failed", one_line(error)
                else:
                    plans = [one.plan for _, before in (*begun, (trial, planned)) for one in before]
                    if not self._spending.affordable([b for t in self.trials for b in t.branches], plans):
                        self._asked_all = self.spent_out = True
                        break
                    begun.append((trial, planned))
            self.trials.append(trial)
            if trial.state != "running":
                self.proposer.tell(values, None)
        self._begin(begun)

    def _next(self) -> Label | None:
        """The settings of the next trial; None: there is none, or none until others have ended."""
        if len(self.trials) == self.variants.sweep.run_cap:
            self._asked_all = True
            return None
        if self._again:
            return self._again.popleft()
        if self.variants.adapts and any(trial.again and trial.state == "running" for trial in self.trials):
            return None
        values = self.proposer.ask()
        self._asked_all = values is None
        return values

    def _begin(self, begun: Sequence[tuple[Tried, list[Trial]]]) -> None:
        """Add the plans of these trials to the walk."""
        opened = iter(self._open_branches([(one, trial.values) for trial, planned in begun for one in planned]))
        for trial, planned in begun:
            trial.state = "running"
            trial.branches += [next(opened) for _ in planned]
            trial.run_id = trial.branches[0].record.parent
            self.walk.branches += trial.branches[-len(planned) :]

    def _prune(self, trial: Tried) -> None:
        """End a trial whose training is doing too badly."""
        if self._pruner is None or self.phase != "trials":
            return
        for branch in trial.branches:
            state = branch.states[self.variants.metric.model]
            if state.state == "cached" and branch.title not in self._measured:
                state.measured = measured(self.store, branch.record.origins[state.stage.name])
            # a training that has ended was measured at its last step
            steps = state.total if state.state == "running" else max(state.measured, default=0)
            for point in new_points(state.measured, steps, self._measured.setdefault(branch.title, set())):
                why = self._pruner.worse(trial.number, point)
                if why is not None and state.state == "running" and trial.error is None:
                    trial.error = why
        if trial.error is not None:
            for branch in trial.branches:
                self.walk.end_early(branch, f"ended early: {trial.error}")

    def _take_in(self, trial: Tried) -> None:
        if any(branch.result is None for branch in trial.branches):
            return
        if trial.error is not None:
            trial.state = "pruned"
            for branch in trial.branches:
                self._logged(branch, None)
            self.proposer.tell(trial.values, None)
            return
        results = [branch.result for branch in trial.branches if branch.result is not None]
        values = [result.models[0].accuracy for result in results if result.models]
        errors = [error for result in results for error in result.errors]
        if self.phase == "finalists" and values and len(values) < len(results):
            self.lost += [f"trial {trial.number}: {error}" for error in errors]
            trial.branches = [b for b in trial.branches if b.result is not None and b.result.models]
        if len(values) < len(trial.branches):
            trial.state, trial.error = "failed", (errors or ["it did not reach an evaluation"])[0]
        else:
            trial.state, trial.value = "complete", sum(values) / len(values)
            for branch, value in zip(trial.branches, values, strict=True):
                self._logged(branch, value)
        if self.phase == "trials":  # finalists were reported before
            self.proposer.tell(trial.values, trial.value)
            if self._pruner is not None and trial.value is not None:
                self._pruner.complete(trial.number, trial.value)

    def _choose(self) -> None:
        complete = [trial for trial in self.trials if trial.state == "complete" and self._can_be_read(trial)]
        if not complete:
            self.phase = "done"
            return
        found = self._compare(complete)
        if self.phase == "trials" and self.variants.sweep.finalists is not None and len(found.tied) > 1:
            ranked = sorted(found.tied, key=lambda n: (-found.models[n].accuracy, n))
            begun = []
            for number in ranked[: self.variants.sweep.finalists]:
                trial = self.trials[number]
                more = [self.variants.trial(number, trial.values, seed) for seed in self.variants.more_seeds]
                begun.append((trial, more))
            self._begin(begun)
            self.phase = "finalists"
            return
        if self.phase == "finalists":
            found = self._among_finalists(complete, found)
        self.standings = found
        values = self.trials[found.taken].values
        seeds = sorted({branch.plan.recipe.seed for branch in self.trials[found.taken].branches})
        for side, settings in (("proposed", values), ("own", {})):
            planned = [self.variants.tested(settings, seed, _test_name(side, seed, seeds)) for seed in seeds]
            self.tested[side] = self._open_branches([(one, settings) for one in planned])
            self.walk.branches += self.tested[side]
        self.phase = "test"

    def _among_finalists(self, complete: list[Tried], all_of_them: Standings) -> Standings:
        """The finalists compared over their seeds; the others keep the result of their one seed.

        Differences are only those among finalists: the others were compared with a different best trial.
        """
        finalists = [trial for trial in complete if len(trial.branches) > 1]
        if not finalists:
            return all_of_them
        found = self._compare(finalists)
        return replace(found, models=dict(all_of_them.models) | dict(found.models))

    def _can_be_read(self, trial: Tried) -> bool:
        """Whether a trial's answers are stored and unchanged; if not, the trial has failed."""
        try:
            self.evaluated(trial.branches, "")
        except (DataError, OutputError) as error:
            trial.state, trial.value, trial.error = "failed", None, one_line(error)
            return False
        return True

    def _compare(self, trials: list[Tried]) -> Standings:
        evaluated = {trial.number: self.evaluated(trial.branches, str(trial.number)) for trial in trials}
        costs = self.costs(trials)
        on_gpus = any(gpu_hours for _, gpu_hours in costs.values())
        cost = {number: gpu_hours if on_gpus else seconds for number, (seconds, gpu_hours) in costs.items()}
        return standings(self.variants.metric.on, evaluated, cost)

    def evaluated(self, branches: list[Branch], label: str) -> Evaluated:
        seeds = tuple(branch.plan.recipe.seed for branch in branches)
        runs = tuple(self._origin(branch) for branch in branches)
        files = tuple(self.store.output(run, RESULTS) for run in runs)
        return Evaluated(label, self.variants.metric.model, seeds, runs, files)

    def _origin(self, branch: Branch) -> str:
        return branch.record.origins[f"evaluate.{self.variants.metric.model}"]

    def costs(self, trials: Sequence[Tried]) -> dict[int, tuple[float, float]]:
        """Seconds and GPU hours of the stages of one seed of each trial, whichever run executed them."""
        origins = {t.number: set(t.branches[0].record.origins.values()) if t.branches else set() for t in trials}
        asked = set[str]().union(*origins.values())
        runs = {run.run_id: run.metrics for run in self.store.runs(ids=asked)} if asked else {}

        def total(number: int, *names: str) -> float:
            return sum(runs[one].get(name, 0.0) for one in origins[number] if one in runs for name in names)

        return {n: (total(n, "seconds", "eval/seconds"), total(n, "gpu_hours", "eval/gpu_hours")) for n in origins}


def _test_name(side: str, seed: int, seeds: list[int]) -> str:
    name = PROPOSED if side == "proposed" else "own values on the test"
    return f"{name}, seed {seed}" if len(seeds) > 1 else name
