"""The output of `orch clean`: each folder with its size, age and contents, and why it is deleted or kept."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commands.clean import Cleaned, Leftover
from orchestrator.text import plain


def show_cleaned(console: Console, found: Cleaned) -> None:
    """A table of folders to delete, one of folders to keep, and what to do next."""
    going = [one for one in found.leftovers if one.goes]
    kept = [one for one in found.leftovers if not one.goes]
    if going:
        console.print(_table("deleted" if found.deleted else "to delete", going))
    if kept:
        console.print(_table("kept", kept))
    if found.note:
        console.print(Text(plain(found.note), style="yellow"), soft_wrap=True)
    size, n = _size(found.freed), f"{len(going)} folder{'s' if len(going) != 1 else ''}"
    if not going:
        console.print(Text(plain(f"Nothing to delete in {found.folder}")), soft_wrap=True)
    elif found.deleted:
        console.print(f"{n} deleted, {size} freed", highlight=False)
    else:
        console.print(f"{n}, {size}: nothing is deleted yet; add [bold]--yes[/] to delete them", highlight=False)


def _table(title: str, leftovers: list[Leftover]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, where in ((title, "left"), ("size", "right"), ("age", "right"), ("what", "left"), ("why", "left")):
        table.add_column(name, justify=where, overflow="fold")  # type: ignore[arg-type]
    for one in leftovers:
        name = one.path.name if len(one.path.name) <= 16 else f"{one.path.name[:8]}…"
        table.add_row(name, _size(one.size), _age(one.days), Text(plain(one.what)), Text(plain(one.why)))
    return table


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _age(days: float) -> str:
    return f"{days:.0f} days" if days >= 1 else f"{days * 24:.0f} h"
