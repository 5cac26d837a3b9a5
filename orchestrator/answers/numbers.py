"""Numbers as people and models write them: reading and writing. Knows nothing of answers, tolerances or tasks."""

import math
import re
from decimal import Decimal

_MAX_CHARS = 200
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}

# The letters of units: Latin, Greek, Cyrillic, the micro sign. Not \w, which counts ½ as a letter, and "2½" is not 2.
_LETTER = "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff"
_COUNT = r"(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)"
_DECIMAL = rf"(?:{_COUNT}(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+\-−]?[0-9]{{1,4}})?"
_WORD = rf"[{_LETTER}]++(?:\^\{{?[-−]?[1-9]\}}?|[²³]|(?<![xX])[23])?"

# Quantifiers that could share characters are possessive (`++`), so that no text takes more than linear time. Nothing
# that stands after the number may hold a digit of its own: "3 hours 20 minutes" and "5 or 6" are no single number.
_NUMBER = re.compile(
    rf"""
    [\s*_`=≈~]*+ (?:\\?[$€£¥₹])?+ \s*+
    ([+\-−–])?+ \s*+ (?:\\?[$€£¥₹])?+ \s*+
    (?: ([0-9]++) \s++ (?= [0-9]++ \s*+ [/⁄] \s*+ [0-9]) )?         # the 2 of 2 1/2
    ({_DECIMAL})
    (?: \s*+ [/⁄] \s*+ ({_DECIMAL}) )?
    (?: \s*+ (?:[xX×·⋅*]|\\times) \s*+ 10 \s*+ (?:\^|\*\*) \s*+ \{{? ([+\-−]?[0-9]{{1,4}}) \}}? )?
    (?: [*_`]{{1,3}}+ (?=[\s.,;%]|\Z) )?
    ( (?: \s*+ (?i:{"|".join(_SCALES)}) s?+ \b )*+ )
    \s*+ [%°$€£¥₹]?+ \s*+
    (?: /?+ \s*+ {_WORD} (?: [\s/·⋅.*-]++ {_WORD} )*+ )?+           # km, km/h, miles per hour, sq. ft
    [\s*_`]*+ [.,;]?+ [\s*_`]*+
    """,
    re.VERBOSE,
)


def parse_number(text: str) -> float | None:
    """The one number that a text states, None if it states none, several, or one that is not finite. Never raises.

    Reads `1,234.50`, `$5`, `-$5`, `1e3`, `1.2 x 10^3`, `3/4`, `2 1/2`, `18.`, `**73**`, `5 million`, the Unicode minus,
    and words after the number (`7.5 km`, `90 km/h`), which are not looked at: units are not converted. A percentage is
    its number: `50%` is 50, not 0.5. Not read: words before the number, decimal commas (`1,5`), over 200 characters.
    """
    if len(text) > _MAX_CHARS:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, numerator, denominator, power, scales = match.groups()
    number = _plain(numerator)
    if denominator is not None:
        divisor = _plain(denominator)
        if divisor == 0:
            return None
        number /= divisor
    if whole is not None:
        number += float(whole)
    if power is not None:
        number *= _plain(f"1e{power}")
    if scales:
        for scale in scales.lower().split():
            number *= _SCALES[scale.removesuffix("s")]
    if not math.isfinite(number):
        return None
    return -number if sign is not None and sign != "+" else number


def format_number(x: float) -> str:
    """The shortest plain decimal with 6 significant digits: `420`, `0.00062`, `4.66028`.

    Whole numbers below 1e15 keep all their digits (a count is exact, and 1234567 is not 1234570). Sizes outside 1e-9 to
    1e15 are written with an exponent: `1e20`. Raises ValueError if x is not finite.
    """
    if not math.isfinite(x):
        raise ValueError(f"{x} is not a finite number")
    if x == 0:
        return "0"
    size = abs(x)
    if size < 1e15 and x == int(x):
        return str(int(x))
    short = f"{x:.6g}"
    if 1e-9 <= size < 1e15:
        return f"{Decimal(short):f}"
    digits, _, exponent = short.partition("e")
    return f"{digits}e{int(exponent)}"


def _plain(written: str) -> float:
    return float(written.replace(",", "").replace("−", "-"))
