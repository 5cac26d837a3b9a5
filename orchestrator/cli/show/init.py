"""The output of `orch init`: the choices with their reasons, and what to do next."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commands.init import Begun
from orchestrator.text import plain


def show_begun(console: Console, made: Begun) -> None:
    """Print each choice with its reason, then the next commands."""
    if made.reasons:
        console.print(_table([(what, chosen, why) for what, chosen, why in made.reasons]))
        console.print()
    console.print(Text(plain(f"{made.recipe} written"), style="bold"), soft_wrap=True)
    for file in made.also:
        console.print(Text(plain(f"{file} copied")), soft_wrap=True)
    next_ones = {"check": "look for mistakes before the run", "run": "train, sample, compare"}
    for command, why in next_ones.items():
        padded = plain(f"  orch {command} {made.recipe}") + " " * (3 + max(map(len, next_ones)) - len(command))
        console.print(Text(padded).append(why, style="dim"), soft_wrap=True)


def show_shipped(console: Console, recipes: Mapping[str, str]) -> None:
    """Print each shipped recipe with its purpose."""
    console.print(_table(list(recipes.items())))
    console.print("Copy one with: orch init NAME", style="dim")


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for place in range(len(rows[0]) if rows else 0):
        table.add_column(no_wrap=place == 0, overflow="fold", style="bold" if place == 0 else "")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
