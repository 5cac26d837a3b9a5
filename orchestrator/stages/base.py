"""What a verb is: it cuts a stage into jobs for workers, then puts their output together.

`jobs` and `finish` run in the driver and stay light; the jobs run on Ray workers and import what they need there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator.model_ref import ModelRef, find_model
from orchestrator.plan import Plan, Stage
from orchestrator.results import DataUsed
from orchestrator.stage_specs import Resources
from orchestrator.tasks import Task
from orchestrator.types import Finding


@dataclass(frozen=True, slots=True)
class Job:
    """One call on a worker: `function(argument)`, a module-level function and something picklable."""

    function: Callable[[Any], Any]
    argument: Any


@dataclass(frozen=True, slots=True)
class Context:
    """A stage about to run, with all it may know."""

    stage: Stage
    plan: Plan
    work: Path
    """This stage's folder for work in progress."""
    inputs: Mapping[str, Path]
    """For each stage this one reads from: what it made, a file or the folder of a model."""
    cpus: int
    gpus: float

    @property
    def task(self) -> Task:
        """The recipe's task."""
        return self.plan.recipe.task

    @property
    def output(self) -> Path:
        """The folder whose content becomes the stage's artifacts."""
        return self.work / "output"

    def model(self, name: str) -> ModelRef:
        """The model of that name: the base, or one that a stage made."""
        return find_model(self.plan.recipe, self.plan.start, name, lambda stage: self.inputs[stage])


@dataclass(frozen=True, slots=True)
class Output:
    """What a finished stage leaves, beside the files in `Context.output`."""

    figure: str
    """The one figure worth a place in the live table."""
    metrics: Mapping[str, float]
    data: tuple[DataUsed, ...] = ()
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Generations a person may read: rows of one table."""
    findings: tuple[Finding, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


class Verb(Protocol):
    """A module under stages/."""

    def resources(self, asked: Resources, cores: int, gpus: float) -> tuple[int, float]:
        """CPU cores and GPUs for one job, on machines with so many cores in a cluster with so many GPUs."""
        ...

    def jobs(self, context: Context) -> list[Job]:
        """The calls still to be made; those whose output lies in the work folder already are left out."""
        ...

    def finish(self, context: Context) -> Output:
        """Put what the jobs left in the work folder together under `context.output`."""
        ...


def one_gpu_job(asked: Resources, cores: int, gpus: float, default_cpus: int) -> tuple[int, float]:
    """What is asked for; else `default_cpus` as far as there are so many, and one GPU where there is any."""
    return asked.cpus or min(default_cpus, cores), asked.gpus if asked.gpus is not None else float(min(1, gpus))
