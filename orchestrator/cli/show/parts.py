"""Building blocks shared by all views of a run: the marks of states, counts, and the sentences around a table."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from orchestrator.runs.state import WORDS, State
from orchestrator.text import plain

ECHO = 3
"""Columns that a live table leaves free for `^C`, which the terminal echoes after it: it must not start an extra line,
which redrawing the table would not account for."""
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
"""The mark and the style of each state."""


def marked(state: State) -> Text:
    """`▶ running`: a state as shown in every table."""
    mark, style = LOOK[state]
    return Text(f"{mark} {WORDS[state]}", style=style)


def counted(states: Sequence[State]) -> Text:
    """`3 finished, 1 running, 16 waiting`."""
    counts = Counter(states)
    parts = [(f"{counts[state]} {WORDS[state]}", style) for state, (_, style) in LOOK.items() if counts[state]]
    return Text(", ").join(Text(text, style=style) for text, style in parts)


def show_way_to_logs(console: Console, run_id: str, errors: Sequence[str]) -> None:
    """After a failure, print the command that shows the logs."""
    if errors:
        way = f"orch logs {run_id[:8]}"
        console.print(Text.assemble("The worker logs, with tracebacks:  ", (way, "bold")), soft_wrap=True)


def show_conclusions(console: Console, sentences: Sequence[str]) -> None:
    """Print the sentences above a table, one per paragraph; the first in bold."""
    for place, sentence in enumerate(sentences):
        console.print(Text(plain(sentence), style="bold" if place == 0 else ""))
    if sentences:
        console.print()


def show_remarks(console: Console, sentences: Sequence[str]) -> None:
    """Print the sentences below a table, one per paragraph."""
    if sentences:
        console.print()
    for sentence in sentences:
        console.print(Text(plain(sentence)))
