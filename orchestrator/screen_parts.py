"""What every table of a run is made of: a mark for each state, a time as people read it."""

from orchestrator.results import State

LOOK: dict[State, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("▶", "bold cyan"),
    "done": ("✓", "green"),
    "cached": ("=", "blue"),
    "failed": ("✗", "bold red"),
    "skipped": ("-", "yellow"),
    "stopped": ("-", "yellow"),
}
"""Mark and style of each state."""


def clock(seconds: float) -> str:
    """`12.3 s`, `4:16`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
