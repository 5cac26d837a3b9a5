"""The cost of a stage: time, tokens, memory, GPUs. Each figure has one name and one meaning, for every verb."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.runs.crew import Done


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one stage."""

    seconds: float
    """From the start of the first job to the end of the last, plus the time to assemble the output."""
    gpu_hours: float
    """GPUs per job times the total hours of all jobs."""
    tokens: int | None
    """Tokens seen in training, or generated in sampling or evaluation."""
    peak_memory_mb: float | None
    """Main memory of the largest worker, including its child processes, in 10^6 bytes."""
    gpu_peak_memory_mb: float | None
    """Memory held by torch on a worker's GPU, in 10^6 bytes."""

    def metrics(self) -> dict[str, float]:
        """The known figures, by name."""
        per_second = self.tokens / self.seconds if self.tokens is not None and self.seconds else None
        found = {
            "seconds": self.seconds,
            "gpu_hours": self.gpu_hours,
            "tokens": self.tokens,
            "tokens_per_second": per_second,
            "peak_memory_mb": self.peak_memory_mb,
            "gpu_peak_memory_mb": self.gpu_peak_memory_mb,
        }
        return {name: float(value) for name, value in found.items() if value is not None}


COST_METRICS: tuple[str, ...] = (
    "seconds",
    "gpu_hours",
    "tokens",
    "tokens_per_second",
    "peak_memory_mb",
    "gpu_peak_memory_mb",
)
COST_METRICS += ("predicted_seconds", "predicted_memory_mb")
"""All metrics that are logged for a stage's cost, including its forecast (forecast/)."""


def cost_of(made: Sequence[Done], last: Done, seconds: float, gpus: float, tokens: int | None) -> Cost:
    """The cost of a stage from its jobs, which had `gpus` GPUs each, and from the last call, which had none."""
    worked = sum(done.ended - done.began for done in made)
    memory = [done.peak_mb for done in (*made, last) if done.peak_mb is not None]
    on_gpu = [done.gpu_peak_mb for done in made if done.gpu_peak_mb is not None]
    return Cost(seconds, gpus * worked / 3600, tokens, max(memory, default=None), max(on_gpu, default=None))
