"""The output of `orch rejudge`: stored completions judged with other settings."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from orchestrator.cli.show.named_rows import NamedRows
from orchestrator.commands.rejudge import Changed, Rejudging
from orchestrator.figures import interval
from orchestrator.sampling.completions import Summary
from orchestrator.text import plain

_LONGEST = 160
"""Maximum characters of a question, and of the end of a text."""


def show_rejudging(console: Console, found: Rejudging) -> None:
    """Print both ways of judging, the figures of both, and the first verdicts that changed."""
    console.print(Text.assemble(("was judged by  ", "dim"), plain(found.judged_before)), soft_wrap=True)
    console.print(Text.assemble(("now judged by  ", "dim"), plain(found.judged_now)), soft_wrap=True)
    console.print()
    table = NamedRows("", ("n", "accuracy\nbefore", "accuracy\nnow", "now\ncorrect", "no longer\ncorrect"))
    for part in found.parts:
        counts = (f"{part.now.n:,}", _told(part.before), _told(part.now), f"+{part.gained:,}", f"-{part.lost:,}")
        table.add(part.name if part.what == "answers" else f"{part.name} ({part.what})", *counts)
    for column in ("n", "no longer\ncorrect", "now\ncorrect"):
        table = table if table.fits(console.width) else table.without(column)
    console.print(table)
    changed = [(part.name, one) for part in found.parts for one in part.changed]
    if not changed:
        console.print("\nNo completion becomes correct, and none stops being correct.")
    for name, one in changed:
        console.print()
        for line in _lines(name, one):
            console.print(line, soft_wrap=True)
    for note in found.notes:
        console.print(Text.assemble(("\n! ", "yellow"), plain(note)), soft_wrap=True)


def _told(summary: Summary) -> str:
    return f"{summary.accuracy:.3f} {interval(*summary.interval)}"


def _lines(name: str, one: Changed) -> Iterator[Text]:
    before, now = _verdict(one.status_before, one.value_before), _verdict(one.status, one.value)
    yield Text.assemble((plain(name), "bold"), f": {before} → {now}, expected {plain(one.gold)}")
    yield Text(f"  question {_clipped(one.question)}", style="dim")
    text = one.text if len(one.text) <= _LONGEST else f"… {one.text[-_LONGEST:]}"
    yield Text(f"  text     {_clipped(text, _LONGEST + 2)}", style="dim")


def _verdict(status: str, value: str | None) -> str:
    return status if value is None else f"{status} ({_clipped(value)})"


def _clipped(text: str, longest: int = _LONGEST) -> str:
    shown = " ".join(plain(text).split())
    return shown if len(shown) <= longest else f"{shown[:longest]} …"
