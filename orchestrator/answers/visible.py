"""Text as a reader sees it: one code point per accented letter (NFC), no invisible characters.

Knows nothing about answers.
"""

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: joiners, direction marks, soft hyphens, byte order marks, variation selectors
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


def visible(text: str) -> str:
    """The text composed (NFC), without invisible characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
