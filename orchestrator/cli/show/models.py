"""The output of `orch export` and `orch push`: location, contents, size, and notes."""

from rich.console import Console

from orchestrator.commands.export import Exported
from orchestrator.commands.push import Pushed
from orchestrator.text import plain

_KINDS = {"adapter": "adapter", "merged": "merged weights", "whole": "whole weights"}


def show_exported(console: Console, made: Exported) -> None:
    """Print what was written where, and how well its weights agree with the run's model."""
    _line(console, f"{made.model} of run {made.run_id}: {_KINDS[made.kind]}, {made.size / 1e6:.1f} MB in {made.folder}")
    if made.agreement is not None:
        a = made.agreement
        _line(
            console, f"logits agree on {a.questions} questions: off by {a.off:.1g}, {a.tolerance:g} allowed ({a.dtype})"
        )
    if made.bundle is not None and made.bundle_size is not None:
        _line(console, f"bundle: {made.bundle_size / 1e6:.1f} MB, {made.bundle}")
    _notes(console, made.notes)


def show_pushed(console: Console, done: Pushed) -> None:
    """Print the model's address on the Hub."""
    seen = "private" if done.private else "public"
    _line(console, f"{len(done.files)} files, {done.size / 1e6:.1f} MB: {done.url} ({seen}, commit {done.commit[:12]})")
    _notes(console, done.notes)


def _notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        _line(console, f"! {note}", "yellow")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(plain(text), style=style, markup=False, highlight=False, soft_wrap=True)
