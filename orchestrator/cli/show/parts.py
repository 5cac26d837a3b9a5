"""What every table of a run is made of: a mark for each state, a time as people read it, what its figures say."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from orchestrator.runs.state import State
from orchestrator.text import plain

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


def show_conclusions(console: Console, sentences: Sequence[str]) -> None:
    """The sentences above a table, one a paragraph; the first in bold."""
    for place, sentence in enumerate(sentences):
        console.print(Text(plain(sentence), style="bold" if place == 0 else ""))
    if sentences:
        console.print()


def show_remarks(console: Console, sentences: Sequence[str]) -> None:
    """The sentences below a table, one a paragraph."""
    if sentences:
        console.print()
    for sentence in sentences:
        console.print(Text(plain(sentence)))
