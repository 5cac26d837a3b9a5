"""The input that a verb gets when its stage runs, and the output it returns. Plain data: knows no verb."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.models.reference import ModelRef
from orchestrator.tasks import Task
from orchestrator.types import DataUsed, Finding

if TYPE_CHECKING:
    from orchestrator.stages.base import Verb
    from orchestrator.stages.evaluate import Evaluate

BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Job:
    """One call on a worker: `function(argument)`, with a module-level function and a picklable argument."""

    function: Callable[[Any], Any]
    argument: Any
    items: int = 0
    """Units of progress that it completes (`Verb.counts`)."""
    leaves: tuple[Path, ...] = ()
    """The files that it writes to a work folder shared with other jobs; empty: the folder is its own."""
    loads: str = ""
    """What it loads and keeps loaded on its worker: a name shared by all jobs that need the same."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a cluster that one job of a stage gets."""

    cpus: int
    """Cores of each worker."""
    gpus: float
    """GPUs of each worker."""
    workers: int = 1
    """Processes that run the job together."""

    @property
    def all_cpus(self) -> int:
        """Cores of all its workers together."""
        return self.cpus * self.workers

    @property
    def all_gpus(self) -> float:
        """GPUs of all its workers together."""
        return self.gpus * self.workers


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a stage about to run may know."""

    name: str
    model_name: str
    """The model that the stage makes, evaluates or samples from; empty: none."""
    also: str | None
    """The further split that an evaluation uses; None: the one that models are compared on."""
    task: Task
    seed: int
    evaluate: "Evaluate"
    stop_on: tuple[str, ...]
    """Warnings that end a training."""
    stages: "Mapping[str, Verb]"
    """All stages of the recipe, by name."""
    work: Path
    """This stage's folder for work in progress."""
    inputs: Mapping[str, Path]
    """For each stage that this one reads: its output, a file or the folder of a model."""
    drawn: Path | None
    """A file of completions that this stage would draw, judged differently or fewer of them; None: there is none."""
    share: Share
    """The resources of each of its jobs."""
    places: int
    """Number of its jobs that may run in parallel."""
    model: Callable[[str], ModelRef]
    """Maps a name to its model: the base, or one that a stage made."""

    @property
    def cpus(self) -> int:
        """Cores of a worker that runs a job."""
        return self.share.cpus

    @property
    def begun(self) -> Path:
        """The file that shows that a worker has started on it."""
        return self.work / BEGUN

    @property
    def output(self) -> Path:
        """The folder whose content becomes the stage's artifacts."""
        return self.work / "output"


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a finished stage, in addition to the files in `Context.output`."""

    figure: str
    """The one figure that is shown in the live table."""
    metrics: Mapping[str, float]
    data: tuple[DataUsed, ...] = ()
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Completions for a person to read: rows of one table."""
    findings: tuple[Finding, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = None
    """Tokens seen in training, or generated in sampling or evaluation; None if unknown."""
