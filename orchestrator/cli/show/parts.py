"""What every table of a run is made of: a mark for each state, what its figures say."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from orchestrator.runs.state import WORDS, State
from orchestrator.text import plain

ECHO = 3
"""Columns that a live table leaves free: `^C`, which the terminal writes after it, must not begin a line that is not
reckoned with where the table is redrawn."""
STORE_ANSWERS = "the store answers again"
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


def marked(state: State) -> Text:
    """`▶ running`: a state as it is in every table."""
    mark, style = LOOK[state]
    return Text(f"{mark} {WORDS[state]}", style=style)


def counted(states: Sequence[State]) -> Text:
    """`3 finished, 1 running, 16 waiting`."""
    counts = Counter(states)
    parts = [(f"{counts[state]} {WORDS[state]}", style) for state, (_, style) in LOOK.items() if counts[state]]
    return Text(", ").join(Text(text, style=style) for text, style in parts)


def show_way_to_logs(console: Console, run_id: str, errors: Sequence[str]) -> None:
    """Where to look next after a failure; nothing without one."""
    if errors:
        way = f"orch logs {run_id[:8]}"
        console.print(Text.assemble("What its workers wrote, tracebacks too:  ", (way, "bold")), soft_wrap=True)


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
