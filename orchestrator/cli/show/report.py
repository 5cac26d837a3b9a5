"""Show where a report is stored, and open its page in a browser."""

import webbrowser
from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator.errors import InputError
from orchestrator.report.make import Reported
from orchestrator.text import plain


def show_report(console: Console, reported: Reported) -> None:
    """Print the paths of the page and its figures."""
    console.print(Text(plain(str(reported.page)), style="bold"), soft_wrap=True)
    for folder in dict.fromkeys(file.parent for file in reported.figures):
        names = ", ".join(sorted({file.name for file in reported.figures if file.parent == folder}))
        console.print(Text(plain(f"{folder}: {names}"), style="dim"), soft_wrap=True)
    for note in reported.notes:
        console.print(Text.assemble(("! ", "yellow"), plain(note)), soft_wrap=True)


def open_page(page: Path) -> None:
    """Open a page in the user's browser. Raises InputError if there is none."""
    if not webbrowser.open(page.as_uri()):
        raise InputError(f"no browser could be opened here; open {page} on a machine that has one")
