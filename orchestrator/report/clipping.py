"""Texts of any length made fit for a page: a long one is folded, of a very long one the middle is left out."""

from dataclasses import dataclass

FOLDED = 1_200
"""Characters from which on a text is folded."""
_LINES = 24
_HEAD, _TAIL = 12_000, 2_000
_BEGIN = 240


@dataclass(frozen=True, slots=True)
class Clip:
    """A text as a page shows it."""

    head: str
    tail: str
    """Empty where nothing is left out."""
    length: int
    """Characters of the whole text."""

    @property
    def left_out(self) -> int:
        """Characters between head and tail."""
        return self.length - len(self.head) - len(self.tail)

    @property
    def folded(self) -> bool:
        """Whether only its beginning is shown at first."""
        return self.length > FOLDED or self.head.count("\n") >= _LINES

    @property
    def begin(self) -> str:
        """What stands for the text while it is folded."""
        return " ".join(self.head[:_BEGIN].split())

    @property
    def size(self) -> int:
        """Characters that it takes on the page."""
        return len(self.head) + len(self.tail)


def clip(text: str) -> Clip:
    """The text with its middle left out where it is very long."""
    if len(text) <= _HEAD + _TAIL:
        return Clip(text, "", len(text))
    return Clip(text[:_HEAD], text[-_TAIL:], len(text))
