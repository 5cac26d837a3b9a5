"""Text as a reader sees it: one code for each accented letter (NFC), no invisible characters. Knows no answers."""

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: joiners, marks of direction, soft hyphens, byte order marks, variants
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


def visible(text: str) -> str:
    """The text composed, without what nobody sees."""
    return text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
