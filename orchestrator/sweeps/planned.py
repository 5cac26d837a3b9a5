"""What a sweep would run: its trials, what they share, how long that takes. Nothing is started.

The trials of a grid and of random search are those that it will make; those of tpe only begin so, since what it
proposes depends on what earlier trials come to.
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
    """One a seed of each trial."""
    count: int
    """Trials, however many seeds each has."""
    asked: int
    """Stages of all trials, each counted as often as it is asked for, and once those that the last step adds."""
    stages: tuple[Stage, ...]
    """Every stage once."""
    cached: frozenset[str]
    """The keys of those that are finished."""
    seconds: float
    """Of those to run, one after another, as far as past runs tell."""
    gpu_hours: float
    """Of the same, where each stage gets the GPUs that it asks for."""
    unknown: int
    """Stages to run of which past runs tell nothing."""

    @property
    def to_run(self) -> int:
        """Stages to run."""
        return len(self.stages) - len(self.cached)


def asked(trials: Sequence[str], last: Sequence[str]) -> int:
    """Stages that separate runs of the trials would take, and those that only the last step asks for; all are keys."""
    return len(trials) + len({*last} - {*trials})


def planned(variants: Variants, store: Store | None, past: Sequence[PastCost]) -> PlannedSweep:
    """Plan a sweep; raises as planning one of its trials does."""
    source = proposer(variants.sweep, variants.seeds[0], variants.own_values)
    values = list(islice(iter(source.ask, None), variants.sweep.run_cap))
    trials = [variants.trial(number, one, seed) for number, one in enumerate(values) for seed in variants.seeds]
    # which trial will be the best is not known: the first with other values than the recipe's own stands for it
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
