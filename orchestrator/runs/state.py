"""How far each stage of a run is, while it runs."""

from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.plan.plan import Stage
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
    measured: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Of a training that is validated, by step: accuracy, and which questions were answered right (0 or 1 each)."""
    trial: str = ""
    """The title of the trial whose stage it is, where there are several."""

    @property
    def title(self) -> str:
        """The stage, with its trial where there are several."""
        return f"{self.trial}  {self.stage.name}" if self.trial else self.stage.name

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
