"""Limits on the time and memory for judging one completion."""

from pydantic import BaseModel, ConfigDict, Field


class JudgeLimits(BaseModel):
    """Limits of a judge that runs in a separate process; they do not affect the verdicts of a judge within them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(default=5.0, gt=0, le=3600, allow_inf_nan=False)
    """Seconds for one completion; taking longer gives the status `timeout`."""
    memory_mb: int = Field(default=1024, ge=64)
    """Memory for judging, beyond what the process uses before the first completion; using more gives `error`."""
