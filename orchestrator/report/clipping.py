"""Makes texts of any length fit on a page: long ones are folded, and very long ones lose their middle."""

from dataclasses import dataclass

FOLDED = 1_200
"""Number of characters above which a text is folded."""
_LINES = 24
_HEAD, _TAIL = 12_000, 2_000
_BEGIN = 240


@dataclass(frozen=True, slots=True)
class Clip:
    """A text as shown on a page."""

    head: str
    tail: str
    """Empty if nothing is left out."""
    length: int
    """Number of characters in the whole text."""

    @property
    def left_out(self) -> int:
        """Number of characters between head and tail."""
        return self.length - len(self.head) - len(self.tail)

    @property
    def folded(self) -> bool:
        """Whether only its beginning is shown at first."""
        return self.length > FOLDED or self.head.count("\n") >= _LINES

    @property
    def begin(self) -> str:
        """The text shown while it is folded."""
        return " ".join(self.head[:_BEGIN].split())

    @property
    def size(self) -> int:
        """Number of its characters on the page."""
        return len(self.head) + len(self.tail)


def clip(text: str) -> Clip:
    """The text, without its middle if it is very long."""
    if len(text) <= _HEAD + _TAIL:
        return Clip(text, "", len(text))
    return Clip(text[:_HEAD], text[-_TAIL:], len(text))
