"""What a run tells: the state of each stage while it runs, and the models side by side when it is done."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from orchestrator.plan import Stage
from orchestrator.types import Finding

State = Literal["waiting", "running", "done", "cached", "failed", "skipped", "stopped"]


@dataclass
class StageState:
    """One row of the live table."""

    stage: Stage
    state: State = "waiting"
    done: int = 0
    total: int = 0
    started: float | None = None
    """Seconds on the monotonic clock."""
    seconds: float = 0.0
    """At work: from the first job's start to the last one's end, and putting the output together; 0 where reused."""
    figure: str = ""
    run_id: str | None = None
    error: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """This stage in `--json`."""
        return {
            "name": self.stage.name,
            "verb": self.stage.verb,
            "key": self.stage.key,
            "state": self.state,
            "cached": self.state == "cached",
            "seconds": round(self.seconds, 3),
            "run_id": self.run_id,
        }


@dataclass(frozen=True, slots=True)
class DataUsed:
    """A data set that a stage made or read, for MLflow's list of inputs."""

    name: str
    context: str
    """`training` or `evaluation`."""
    digest: str
    source: str
    rows: int


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's figures on the evaluated questions."""

    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    answer_rate: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A model against a baseline on the same questions."""

    model: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    """Exact McNemar."""
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The models on a further split, beside the one that they are compared on."""

    on: str
    models: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `orch run` ends with."""

    run_id: str
    experiment: str
    models: tuple[ModelResult, ...]
    stages: tuple[dict[str, Any], ...]
    differences: tuple[Difference, ...] = ()
    errors: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What was noticed before and while it ran."""
    also: tuple[Evaluation, ...] = ()
    """What `evaluate.also` asked for."""

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)
