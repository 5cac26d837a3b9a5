"""What a sweep would run: its trials, what they share, how long that takes. Nothing is started.

For a grid and for random search, these are the trials that will run; for tpe only the first of them are, since its
proposals depend on the results of earlier trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from orchestrator.plan.forecast import PastCost, forecast
from orchestrator.plan.plan import Stage, Trial
from orchestrator.store.base import Store
from orchestrator.sweeps.proposing import proposer
from orchestrator.sweeps.variants import Variants


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """The trials of a sweep, and the last step: the best trial and the recipe's own values on the test split."""

    variants: Variants
    trials: tuple[Trial, ...]
    """One per seed of each trial."""
    count: int
    """Number of trials, however many seeds each has."""
    asked: int
    """Stages of all trials, each counted as often as it is requested, plus those that the last step adds, once each."""
    stages: tuple[Stage, ...]
    """Every stage once."""
    cached: frozenset[str]
    """The keys of the finished ones."""
    seconds: float
    """Total for the stages to run, one after another, as far as past runs show."""
    gpu_hours: float
    """Total for the same stages, if each gets the GPUs that it requests."""
    unknown: int
    """Number of stages to run about which past runs show nothing."""

    @property
    def to_run(self) -> int:
        """Number of stages to run."""
        return len(self.stages) - len(self.cached)


def asked(trials: Sequence[str], last: Sequence[str]) -> int:
    """Number of stages in separate runs of the trials, plus those that only the last step needs; all given by key."""
    return len(trials) + len({*last} - {*trials})


def planned(variants: Variants, store: Store | None, past: Sequence[PastCost]) -> PlannedSweep:
    """Plan a sweep; raises like planning one of its trials."""
    source = proposer(variants.sweep, variants.seeds[0], variants.own_values)
    values = list(islice(iter(source.ask, None), variants.sweep.run_cap))
    trials = [variants.trial(number, one, seed) for number, one in enumerate(values) for seed in variants.seeds]
    # which trial will be the best is not known: use the first with other values than the recipe's own in its place
    best = next((one for one in values if one != variants.own_values), {})
    tests = [variants.tested(one, seed, "") for one in (best, {}) for seed in variants.seeds]
    stages: dict[str, Stage] = {}
    seconds: dict[str, float] = {}
    for trial in (*trials, *tests):
        known = forecast(trial.plan, past)
        for stage in trial.plan.stages:
            stages.setdefault(stage.key, stage)
            if stage.name in known:
                seconds.setdefault(stage.key, known[stage.name].seconds)
    cached = frozenset(store.finished(stages.values())) if store is not None else frozenset()
    to_run = [stage for key, stage in stages.items() if key not in cached]
    return PlannedSweep(
        variants,
        tuple(trials),
        len(values),
        asked(
            [stage.key for trial in trials for stage in trial.plan.stages],
            [stage.key for trial in tests for stage in trial.plan.stages],
        ),
        tuple(stages.values()),
        cached,
        sum(seconds.get(stage.key, 0.0) for stage in to_run),
        sum(seconds.get(stage.key, 0.0) * (stage.spec.resources.gpus or 0.0) for stage in to_run) / 3600,
        sum(stage.key not in seconds for stage in to_run),
    )
