"""Characters that mean the same made the same: digits of any script, spaces, signs, what nobody sees. One for one.

It must not know what a number is. What it does not know stays as it is.
"""

import re
import unicodedata

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
GROUP_SPACE = "\u00a0"
"""Stands for the spaces that typesetters put between groups of digits and that do not break a line."""
MARK = "\u0300"
"""Stands for every combining mark: a vowel sign of a word, but also a bar over a digit, which changes it."""
ICON = "☐"
"""Stands for every picture and symbol that is neither a letter nor an operator: `℃`, a check mark, an apple."""
BROKEN = "\ufffd"
"""Stands for what holds a number that is not written in digits: `①`, `Ⅻ`."""

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
"""A wide comma is punctuation, unless it stands between wide digits."""
_KEPT = frozenset(SUPERSCRIPTS + "，₀₁₂₃₄₅₆₇₈₉°")


class _Table(dict[int, str | None]):
    """What each character becomes, worked out when it is first met."""

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
    if len(alike) == 2 and unicodedata.combining(alike[1]):  # letters that are not composed again, such as Hindi's
        return alike[0]
    return alike if len(alike) == 1 else char


_TABLE = _Table({ord(char): same for same, chars in _ALIKE.items() for char in chars})


def plain_characters(text: str) -> str:
    """The text with characters that mean the same made the same."""
    return text if text.isascii() else _WIDE_GROUPS.sub(",", text).translate(_TABLE)


def kept_places(text: str) -> list[int]:
    """For each character of the plain text: where it is in the text that it was made from."""
    return [place for place, char in enumerate(text) if _TABLE[ord(char)] is not None]
