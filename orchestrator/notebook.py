"""Display of orch's results in a notebook: small tables in plain HTML, without style sheets or scripts.

All text is escaped: names, errors and findings come from users and models.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from orchestrator.figures import interval, p_value
from orchestrator.text import plain

_RIGHT = ' style="text-align: right"'
_LEFT = ' style="text-align: left"'


def text(words: object) -> str:
    """Text as HTML."""
    return escape(plain(str(words)))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], figures: Sequence[str] = ()) -> str:
    """A table; the columns named in `figures` are right-aligned."""
    sides = [_RIGHT if head in figures else _LEFT for head in heads]

    def line(cells: Sequence[object], tag: str) -> str:
        inner = "".join(f"<{tag}{side}>{text(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def facts(known: Mapping[str, object]) -> str:
    """A table of names and values, without the empty ones."""
    rows = "".join(
        f"<tr><th{_LEFT}>{text(name)}</th><td{_LEFT}>{text(value)}</td></tr>"
        for name, value in known.items()
        if value not in (None, "")
    )
    return f"<table><tbody>{rows}</tbody></table>"


def paragraphs(lines: Iterable[str]) -> str:
    """One paragraph per line."""
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def block(words: str) -> str:
    """Preformatted text."""
    return f"<pre>{text(words)}</pre>"


def figures(
    models: Iterable[tuple[str, float, float, float, float]],
    against: Mapping[str, tuple[str, float, float, float, float]],
) -> str:
    """Models side by side: name, accuracy with interval, answer rate; baseline, difference with interval, p."""
    heads = ("model", "accuracy", "answer rate", "against", "difference", "p")
    rows = []
    for name, accuracy, low, high, rate in models:
        row = [name, f"{accuracy:.3f} {interval(low, high)}", f"{rate:.3f}", "", "", ""]
        if name in against:
            baseline, difference, least, most, p = against[name]
            row[3:] = [baseline, f"{difference:+.3f} {interval(least, most, sign=True)}", p_value(p)]
        rows.append(row)
    return table(heads, rows, ("accuracy", "answer rate", "difference", "p"))
