"""How long and how large the judging of one completion may get."""

from pydantic import BaseModel, ConfigDict, Field


class JudgeLimits(BaseModel):
    """Limits of a judge that runs in a process of its own; one that stays within them gives the same verdicts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(default=5.0, gt=0, le=3600, allow_inf_nan=False)
    """Seconds for one completion; longer is the status `timeout`."""
    memory_mb: int = Field(default=1024, ge=64)
    """Memory for judging, beside what the process holds before the first completion; more is the status `error`."""
