"""A table with user-defined row names: a name that does not fit next to its figures gets its own line above them.

No name or figure is ever truncated or broken in the middle, however narrow the terminal is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_LEAST = 6
"""Minimum width of the column of names, in characters."""


@dataclass
class NamedRows:
    """`name` is the heading of the first column, `columns` those of the others; columns in `left` are left-aligned."""

    name: str
    columns: Sequence[str]
    left: Sequence[str] = ()
    rows: list[tuple[Text, list[Text]]] = field(default_factory=list)

    def add(self, name: str, *cells: Text | str) -> None:
        """Add a row."""
        self.rows.append((Text(name), [cell if isinstance(cell, Text) else Text(cell) for cell in cells]))

    def without(self, *columns: str) -> "NamedRows":
        """A copy of the table without these columns."""
        kept = [place for place, column in enumerate(self.columns) if column not in columns]
        rows = [(name, [cells[place] for place in kept]) for name, cells in self.rows]
        return NamedRows(self.name, [self.columns[place] for place in kept], self.left, rows)

    def fits(self, width: int) -> bool:
        """Whether every name fits next to its figures."""
        return max(self._names()) <= width - self._beside()

    def _names(self) -> list[int]:
        return [len(self.name), *(name.cell_len for name, _ in self.rows)]

    def _widths(self) -> list[int]:
        """The widths of the columns next to the names."""
        return [
            max([*map(len, title.split("\n")), *(cells[place].cell_len for _, cells in self.rows)])
            for place, title in enumerate(self.columns)
        ]

    def _beside(self) -> int:
        return sum(width + 2 for width in self._widths())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - self._beside()
        beside = [length for length in self._names() if length <= room]
        first = max([_LEAST, *beside]) if room >= _LEAST else 1
        parts: list[Table | Text] = [table := self._table(first, head=True)]
        for name, cells in self.rows:
            if name.cell_len <= first:
                table.add_row(name, *cells)
                continue
            parts += [name, table := self._table(first)]
            table.add_row("", *cells)
        yield from parts

    def _table(self, first: int, head: bool = False) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=head, header_style="bold")
        table.add_column(self.name, width=first, no_wrap=True)
        for title, width in zip(self.columns, self._widths(), strict=True):
            justify = "left" if title in self.left else "right"
            table.add_column(Text(title), width=width, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        return table
