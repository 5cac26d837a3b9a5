"""Forecasts for the stages that would run, from past costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from orchestrator.plan.forecast.past import IDLE, PastCost, amount, evaluation_settings
from orchestrator.plan.plan import Plan, Stage
from orchestrator.schema import flatten

_NEWEST = 5
"""Number of past runs of one stage that are enough."""
_ALIKE = 0.02
"""Amounts that differ by at most this fraction count as equal."""

How = Literal["same", "scaled", "guess"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast for one stage."""

    seconds: float
    memory_mb: float | None
    """Main memory of its largest worker."""
    how: How
    """`same`: from runs of the same stage; `scaled`: from others of its kind, scaled by their amount of work; `guess`:
    from others of its kind, whatever their amount of work."""
    runs: int
    """Number of past runs it is based on."""

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged next to the stage's actual cost."""
        memory = {} if self.memory_mb is None else {"predicted_memory_mb": self.memory_mb}
        return {"predicted_seconds": self.seconds} | memory


def forecast(plan: Plan, past: Sequence[PastCost]) -> dict[str, Forecast]:
    """The forecast for each stage to run, by name; stages about which nothing is known are left out."""
    found = {}
    for stage in plan.stages:
        if stage.cached is None and (one := _of(stage, plan, past)) is not None:
            found[stage.name] = one
    return found


def _of(stage: Stage, plan: Plan, past: Sequence[PastCost]) -> Forecast | None:
    alike = [p for p in past if p.verb == stage.verb and p.base == plan.base.name]
    if not alike:
        return None
    settings = _settings(stage)
    todo = amount(stage.verb, settings, stage.spec.countable(plan.recipe.task))
    same = [p for p in alike if p.settings == settings and _as_much(p.amount, todo)]
    if same:
        return _median(same, [p.seconds for p in same], "same")
    scaled = [p for p in alike if p.amount and todo]
    if scaled and todo:
        return _median(scaled, [p.seconds * todo / (p.amount or 1) for p in scaled], "scaled")
    return _median(alike, [p.seconds for p in alike], "guess")


def _median(past: Sequence[PastCost], seconds: Sequence[float], how: How) -> Forecast:
    memory = [p.memory_mb for p in past[:_NEWEST] if p.memory_mb is not None]
    return Forecast(median(seconds[:_NEWEST]), max(memory, default=None), how, len(seconds[:_NEWEST]))


def _settings(stage: Stage) -> dict[str, str]:
    """The settings in the form in which a run of this stage stores them."""
    if stage.is_evaluation:
        return evaluation_settings(stage.recipe_digest)
    written = stage.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"models", "resources"})
    return {name: str(value) for name, value in flatten(written).items() if name not in IDLE}


def _as_much(done: float | None, todo: float | None) -> bool:
    """Whether two amounts are equal, as far as they are known."""
    return done is None or todo is None or abs(done - todo) <= _ALIKE * max(done, todo)
