"""Text of any origin inside Markdown: it shows as it is and means nothing. Knows no page."""

import re

from orchestrator.terminal_text import plain

_ACTIVE = re.compile(r"([\\`*_\[\]<>#|~&$])")


def inline(text: object) -> str:
    """A piece of running text on one line, also in a table's cell."""
    return _ACTIVE.sub(r"\\\1", plain(" ".join(str(text).split())))


def code(text: object) -> str:
    """A piece of code on one line; not for a table's cell, where `|` would end it."""
    shown = plain(str(text).replace("\n", " "))
    marks = _marks(shown, 1)
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") else shown
    return f"{marks}{padded}{marks}"


def fenced(text: str, language: str = "") -> str:
    """A block of code, exactly as it is, whatever fences it holds itself."""
    marks = _marks(text, 3)
    return f"{marks}{language}\n{plain(text.removesuffix(chr(10)))}\n{marks}"


def _marks(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * (max(least, longest + 1) if longest >= least or least == 1 else least)
