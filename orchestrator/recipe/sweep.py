"""A recipe's `sweep` block: what varies, how values are proposed, and how trials are compared. Schemas only.

The terms are W&B's, if W&B has them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from orchestrator.recipe.head import Seeds
from orchestrator.schema import Loc, Spec, unknown
from orchestrator.stages.base import Verb
from orchestrator.stages.evaluate import Evaluate
from orchestrator.tasks.splits import SPLITS
from orchestrator.types import BASE

METRIC = "accuracy"
"""The metric that trials are compared by: right or wrong on each question, which allows paired tests of two trials."""
_NOT_CHOSEN_ON = ("demonstrations", "train", "test")
_NOT_VARIED = {
    "seed": "list seeds under sweep.seeds: every trial is then run with each of them",
    "seeds": "list seeds under sweep.seeds: every trial is then run with each of them",
    "evaluate": "every trial must be evaluated in the same way, or their accuracies could not be compared",
    "sweep": "a sweep cannot change itself",
}
"""Settings that no parameter may change, with the reason."""
_WRONG_WORDS = {
    "log_uniform": "its bounds are exponents in W&B; write log_uniform_values, whose bounds are the values themselves",
    "q_log_uniform": "its bounds are exponents in W&B; write log_uniform_values, whose bounds are the values "
    "themselves",
    "int": "write int_uniform",
    "log": "write log_uniform_values",
    "loguniform": "write log_uniform_values",
}
_DISTRIBUTIONS = ("categorical", "int_uniform", "uniform", "q_uniform", "log_uniform_values")

_LARGEST = 2**53
"""Largest whole number in a range to sample from: beyond it, a double cannot represent all of them."""

Value = bool | int | float | str | None | list[Any] | dict[str, Any]


def _same(a: Value, b: Value) -> bool:
    """Whether two values are the same setting: 1 and 1.0 are, 1 and true are not."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


class Metric(Spec):
    """The metric that trials are compared by, and the questions that it is measured on."""

    name: str
    """A model of the recipe and the metric measured on it, such as `rft/accuracy`."""
    goal: Literal["maximize"] = "maximize"
    """Higher is better."""
    on: str = "validation"
    """The split that the winner is chosen on; never the one that its result is reported on."""

    @property
    def model(self) -> str:
        """The model that is measured."""
        return self.name.rpartition("/")[0]

    @field_validator("name")
    @classmethod
    def _names_accuracy(cls, value: str) -> str:
        model, slash, what = value.rpartition("/")
        if not slash or not model:
            raise ValueError(f"must read MODEL/{METRIC}, such as rft/{METRIC}, not {value!r}")
        if what != METRIC:
            raise ValueError(unknown("metric", what, (METRIC,)))
        return value


class Parameter(Spec):
    """The values that a setting may take: a list or a range."""

    values: tuple[Value, ...] | None = None
    """The values, in any order."""
    min: int | float | None = None
    """Lower end of the range."""
    max: int | float | None = None
    """Upper end of the range."""
    distribution: str | None = None
    """`categorical`, `int_uniform`, `uniform`, `q_uniform` or `log_uniform_values`. Default: `categorical` for listed
    values, `int_uniform` between whole numbers, `uniform` otherwise."""
    q: PositiveFloat | None = None
    """Step of `q_uniform`: values are `min` plus multiples of it."""

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, data: Any) -> Any:
        if isinstance(data, list | tuple):
            data = {"values": list(data)}
        listed = data.get("values") if isinstance(data, dict) else None
        if isinstance(listed, list) and any(isinstance(v, float) and not math.isfinite(v) for v in listed):
            raise ValueError("lists a value that is not a finite number")
        if not isinstance(data, dict):
            raise ValueError(f"must be a list of values, or a block with values or min and max, not {data!r}")
        if "value" in data:
            raise ValueError("a single value varies nothing: set it in the recipe itself")
        return data

    @field_validator("distribution")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value in _WRONG_WORDS:
            raise ValueError(f"{value!r}: {_WRONG_WORDS[value]}")
        if value is not None and value not in _DISTRIBUTIONS:
            raise ValueError(unknown("distribution", value, _DISTRIBUTIONS))
        return value

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> "Parameter":
        if self.values is not None:
            if self.min is not None or self.max is not None:
                raise ValueError("has values, and min or max: keep one of them")
            if self.distribution not in (None, "categorical"):
                raise ValueError(f"has values, which do not go with {self.distribution}: leave distribution out")
            if not self.values:
                raise ValueError("has no values")
            for place, value in enumerate(self.values):
                if any(_same(value, before) for before in self.values[:place]):
                    raise ValueError(f"lists {value!r} twice")
            return self
        if self.min is None or self.max is None:
            raise ValueError("needs values, or both min and max")
        if self.distribution == "categorical":
            raise ValueError("categorical goes with values, not with min and max")
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.min == self.max:
            raise ValueError(f"min and max are both {self.min}, which varies nothing")
        if self.kind == "log_uniform_values" and self.min <= 0:
            raise ValueError(f"min must be above 0 for log_uniform_values, it is {self.min}")
        if self.kind == "int_uniform" and not all(float(end).is_integer() for end in (self.min, self.max)):
            raise ValueError(f"min and max of int_uniform are whole numbers, not {self.min} and {self.max}")
        if (self.q is not None) != (self.kind == "q_uniform"):
            raise ValueError("q goes with distribution: q_uniform, and q_uniform needs it")
        if self.q is not None and self.q > self.max - self.min:
            raise ValueError(f"q {self.q:g} is larger than max - min, which varies nothing")
        if self.kind == "int_uniform" and max(abs(self.min), abs(self.max)) > _LARGEST:
            raise ValueError(f"min and max of int_uniform are between -2^53 and 2^53, not {self.min} and {self.max}")
        return self

    @property
    def kind(self) -> str:
        """The distribution, with the default filled in."""
        if self.distribution is not None:
            return self.distribution
        if self.values is not None:
            return "categorical"
        return "int_uniform" if isinstance(self.min, int) and isinstance(self.max, int) else "uniform"

    def examples(self) -> tuple[Value, ...]:
        """All values, or both ends of the range."""
        if self.values is not None:
            return self.values
        assert self.min is not None and self.max is not None
        return (int(self.min), int(self.max)) if self.kind == "int_uniform" else (float(self.min), float(self.max))


class Asha(Spec):
    """Asynchronous successive halving (Li et al. 2020): at each rung, the best 1/eta of the trials continue."""

    type: Literal["asha"]
    min_steps: PositiveInt
    """Steps at the first rung; each further rung is at eta times as many."""
    eta: Annotated[int, Field(ge=2)] = 3
    """At each rung, the best 1/eta of the trials continue."""


class Paired(Spec):
    """End a trial once a paired test on the same validation questions shows that it is worse than the best so far."""

    type: Literal["paired"]
    p: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """One-sided p-value below which a trial is ended."""
    min_steps: PositiveInt = 1
    """Number of steps before which no trial is ended."""


class Budget(Spec):
    """The cost limit of a sweep; no trial is started that would exceed it."""

    hours: PositiveFloat | None = None
    """Hours from the start of the sweep."""
    gpu_hours: PositiveFloat | None = None
    """GPUs times hours, summed over all stages."""

    @model_validator(mode="after")
    def _is_one(self) -> "Budget":
        if (self.hours is None) == (self.gpu_hours is None):
            raise ValueError("needs either hours or gpu_hours")
        return self


class Sweep(Spec):
    """Variants of a recipe to try, and how the best is found."""

    method: Literal["grid", "random", "tpe"] = "grid"
    """`grid`: all combinations of the listed values; `random`: values sampled at random; `tpe`: Optuna's TPE sampler,
    which favors the neighborhood of values that did well so far."""
    run_cap: PositiveInt | None = None
    """Maximum number of trials."""
    metric: Metric | None = None
    """The metric to compare trials by; default: the accuracy of the recipe's last model on `validation`."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """The settings to vary, by dotted name, and the values that each may take."""
    linked: tuple[dict[str, Value], ...] = ()
    """Settings that vary together: each row is one combination of values."""
    seeds: Seeds | None = None
    """Every trial runs with each of these seeds; its value is the mean."""
    finalists: Annotated[int, Field(ge=2)] | None = None
    """Instead of `seeds`: at most this many of the trials tied with the best run with two more seeds."""
    early_terminate: Annotated[Asha | Paired, Field(discriminator="type")] | None = None
    """End poor trials while they train, based on the accuracy that the training's `validation` measures."""
    max_concurrent: PositiveInt | None = None
    """Maximum number of open trials; default: as many as the machine has room for with `tpe`, otherwise twice that."""
    budget: Budget | None = None
    """The cost limit; no trial is started that would exceed it."""

    @field_validator("linked")
    @classmethod
    def _rows_alike(cls, rows: tuple[dict[str, Value], ...]) -> tuple[dict[str, Value], ...]:
        for number, row in enumerate(rows):
            if set(row) != set(rows[0]):
                raise ValueError(
                    f"row {number} sets {', '.join(sorted(row)) or 'nothing'} and row 0 sets "
                    f"{', '.join(sorted(rows[0])) or 'nothing'}: every row must set the same"
                )
        if rows and not rows[0]:
            raise ValueError("its rows set nothing")
        if len(rows) == 1:
            raise ValueError("has one row, which varies nothing")
        for place, row in enumerate(rows):
            if any(_same(row, before) for before in rows[:place]):
                raise ValueError(f"row {place} repeats an earlier row")
        return rows

    @model_validator(mode="after")
    def _can_be_tried(self) -> "Sweep":
        both = [name for name in self.parameters if self.linked and name in self.linked[0]]
        if both:
            raise ValueError(f"{both[0]} is in parameters and in linked: keep one of them")
        inside = next(((a, b) for a in self.names for b in self.names if b.startswith(f"{a}.")), None)
        if inside is not None:
            raise ValueError(f"{inside[1]} is a part of {inside[0]}, which is varied too: keep one of them")
        if self.seeds is not None and self.finalists is not None:
            raise ValueError("seeds and finalists both say which trials get more seeds: keep one of them")
        if self.method != "grid" and self.run_cap is None:
            raise ValueError(f"run_cap is missing: {self.method} continues until it has run that many trials")
        ranges = [name for name, one in self.parameters.items() if one.values is None]
        if self.method == "grid" and ranges:
            raise ValueError(
                f"parameters.{ranges[0]}: a grid tries listed values: write values: [...], or method: random"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that vary."""
        return (*self.parameters, *(self.linked[0] if self.linked else ()))

    @property
    def size(self) -> int | None:
        """Number of distinct trials; None: unlimited."""
        counts = [None if one.values is None else len(one.values) for one in self.parameters.values()]
        known = [count for count in counts if count is not None]
        return None if len(known) < len(counts) else math.prod(known) * max(1, len(self.linked))

    def changes(self) -> Iterator[tuple[str, Mapping[str, Value]]]:
        """Each value on its own, both ends of each range, and each linked row, with its place in the block."""
        for name, one in self.parameters.items():
            yield from ((f"parameters.{name}", {name: value}) for value in one.examples())
        yield from ((f"linked.{number}", row) for number, row in enumerate(self.linked))


def check_sweep(
    sweep: Sweep,
    stages: Mapping[str, Verb],
    evaluate: Evaluate,
    task: Any,
    problems: list[tuple[Loc, str]],
) -> None:
    """Check that trials are compared by a model of the recipe on a separate split; appends to `problems`."""
    for name in sweep.names:
        head, _, rest = name.partition(".")
        where: Loc = ("sweep", "parameters", name) if name in sweep.parameters else ("sweep", "linked")
        if head in _NOT_VARIED:
            problems.append((where, f"{name!r} cannot be varied: {_NOT_VARIED[head]}"))
        elif head == "stages" and not rest:
            problems.append((where, "names no setting: write stages.NAME.SETTING, such as stages.rft.learning_rate"))
        elif head == "stages" and (stage := rest.partition(".")[0]) not in stages:
            problems.append((where, unknown("stage", stage, stages)))
    if not sweep.names:
        problems.append((("sweep", "parameters"), "has no parameter: there is nothing to try"))
    metric = sweep.metric
    models = [name for name, spec in stages.items() if spec.makes_model]
    if metric is None:
        if not models:
            problems.append((("sweep", "metric"), "the recipe trains no model that trials could be compared by"))
        metric = Metric(name=f"{models[-1] if models else BASE}/{METRIC}")
    elif metric.model not in models:
        where = ("sweep", "metric", "name")
        problems.append((where, unknown("model", metric.model, models) if models else "the recipe trains no model"))
    further = task.get("further") if isinstance(task, dict) else None
    splits = [s for s in (*SPLITS, *(map(str, further) if isinstance(further, dict) else ())) if s != "demonstrations"]
    where = ("sweep", "metric", "on")
    if metric.on not in splits:
        problems.append((where, unknown("split", metric.on, [s for s in splits if s not in _NOT_CHOSEN_ON])))
    elif metric.on in (*_NOT_CHOSEN_ON, evaluate.on):
        problems.append((where, _why_not(metric.on)))
    elif metric.on == "validation" and isinstance(task, dict) and task.get("validation") is None:
        problems.append(
            (where, "the task has no validation split, on which the winner is chosen: add task.validation, such as "
             "{generate: 300} or {hold_out: 300}")
        )  # fmt: skip


def _why_not(split: str) -> str:
    if split in ("demonstrations", "train"):
        return f"{split} is what models are trained on: choose on validation"
    return f"{split} is what the winner is reported on, and is used once: choose on validation"


def own_metric(sweep: Sweep, models: Sequence[str]) -> Metric:
    """The metric that trials are compared by, with its default; `models` are those that the recipe trains."""
    return sweep.metric or Metric(name=f"{models[-1]}/{METRIC}")
