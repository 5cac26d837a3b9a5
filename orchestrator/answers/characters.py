"""Unify equivalent characters: digits of any script, spaces, signs. Invisible characters are dropped.

Each character becomes at most one. Unknown characters stay as they are. It must not know what a number is.
"""

import re
import unicodedata

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
GROUP_SPACE = "\u00a0"
"""Stands for the non-breaking spaces that typesetters put between groups of digits."""
MARK = "\u0300"
"""Stands for every combining mark: a vowel sign in a word, but also a bar over a digit, which changes its meaning."""
ICON = "☐"
"""Stands for every pictograph or symbol that is neither a letter nor an operator: `℃`, a check mark, an apple."""
BROKEN = "\ufffd"
"""Stands for every character that contains a number not written in digits: `①`, `Ⅻ`."""

_ALIKE = {
    "-": "−–‐‑‒﹣－",
    "'": "’ʼ＇‘\u066c",
    '"': "“”„«»「」『』″",
    "/": "⁄∕",
    "*": "∗",
    "×": "✕✖⨯",
    "·": "⋅∙",
    "≈": "≃≅≒≐",
    "=": "≔",
    ".": "\u066b",
    "%": "٪",
    ":": "∶",
    "(": "【〔",
    ")": "】〕",
    GROUP_SPACE: "\u2007\u2008\u2009\u200a\u202f\u2006",
}
_WIDE_GROUPS = re.compile(r"(?<=[０-９])，(?=[０-９]{3})")
"""A full-width comma is punctuation unless it is between full-width digits."""
_KEPT = frozenset(SUPERSCRIPTS + "，₀₁₂₃₄₅₆₇₈₉°")


class _Table(dict[int, str | None]):
    """Maps each character to its plain form, computed on first use."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = _meaning(chr(code))
        return found


def _meaning(char: str) -> str | None:
    category = unicodedata.category(char)
    if char.isascii() or char in _KEPT:
        return char
    if category == "Cf" or char == "\u034f" or "\ufe00" <= char <= "\ufe0f":
        return None
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category in ("No", "Nl"):
        return char if unicodedata.decomposition(char).startswith("<fraction>") else BROKEN
    if category in ("Mn", "Mc", "Me"):
        return MARK
    if category == "Zs":
        return char if char == GROUP_SPACE else " "
    alike = unicodedata.normalize("NFKC", char)
    if category in ("So", "Sk"):
        return BROKEN if alike[0].isnumeric() else ICON
    if len(alike) == 2 and unicodedata.combining(alike[1]):  # letters that NFKC does not recompose, such as Hindi's
        return alike[0]
    return alike if len(alike) == 1 else char


_TABLE = _Table({ord(char): same for same, chars in _ALIKE.items() for char in chars})


def plain_characters(text: str) -> str:
    """The text with equivalent characters unified."""
    return text if text.isascii() else _WIDE_GROUPS.sub(",", text).translate(_TABLE)


def kept_places(text: str) -> list[int]:
    """For each character of the plain text, its position in the original text."""
    return [place for place, char in enumerate(text) if _TABLE[ord(char)] is not None]
