"""The contents of a Markdown page, for tests of the docs: fenced blocks, commands, inline code, links and anchors.

This module knows only pages: whether a command is one of orch's is for the tests to decide.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INDENTED = re.compile(r"^ {4,}(?=orch )(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the words after the fence, its text, and the line of the page on which it opens."""

    words: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its text."""

    path: Path
    text: str

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [
            Block(tuple(match[1].split()), match[2], self.text.count("\n", 0, match.start()) + 1)
            for match in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """The text without fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def inline(self) -> list[str]:
        """The inline code, with line breaks as spaces."""
        return [" ".join(span.split()) for span in _INLINE.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """The targets of links that lead to files or headings, not to the web."""
        return [target for target in _LINK.findall(_INLINE.sub("", self.prose)) if "://" not in target]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub generates them."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(self.prose)}

    @property
    def commands(self) -> list[list[str]]:
        """The words of each shell command: those in `sh` blocks, and indented lines that call orch."""
        shell = [block.text for block in self.blocks if block.words[:1] == ("sh",)]
        return [command for text in (*shell, *_INDENTED.findall(self.prose)) for command in commands_in(text)]


def page(path: Path) -> Page:
    """A page as it is on disk."""
    return Page(path, path.read_text(encoding="utf-8"))


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell script; a quote or a backslash at a line's end continues it.

    Raises ValueError if a quote is never closed.
    """
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # the quote is closed on a later line
            continue
        pending = ""
        if words:
            yield words
    if pending:
        raise ValueError(f"a quote is never closed: {pending}")
