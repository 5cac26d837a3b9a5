"""Numbers as people and models write them: reading and writing. Knows nothing of answers, tolerances or tasks."""

import math
import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction

from orchestrator.answers.tex import plain_tex

Number = Decimal | Fraction
"""Exact: a Decimal where the number has finitely many decimals, else a Fraction."""
EXACT = Context(prec=10_000, traps=[Inexact])
"""Sums and products of numbers as they are read here lose nothing; one that would lose a digit is an error."""

_MAX_CHARS = 200
_LARGEST = 400
"""No number is read that is 1e400 or more, or not 0 and smaller than 1e-400: so none is long to compute with."""
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SHORT_SCALES = {"k": 3, "m": 6, "b": 9, "bn": 9}

# The letters of units: Latin, Greek, Cyrillic, the micro sign. Not \w, which counts ½ as a letter, and "2½" is not 2.
_LETTER = "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff"
_COUNT = r"(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)"
_DECIMAL = rf"(?:{_COUNT}(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+\-−]?[0-9]{{1,4}})?"
_WORD = rf"[{_LETTER}]++(?:\^\{{?[-−]?[1-9]\}}?|[²³]|(?<![xX])(?:[23]|\*\*[-−]?[1-9]))?"
_MONEY = r"\\?[$€£¥₹]"

# Most answers are this; it is many times faster to read than all that a number may be.
_PLAIN = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?")
_SWAPPED = str.maketrans(",.", ".,")
_PLAIN_DIGITS, _PLAIN_ZEROS = 30, 15

_TIMES_TEN = r"\s*+ (?:[xX×·⋅*]|\\times|\\cdot) \s*+ 10 \s*+ (?:\^|\*\*) \s*+"
_SCALE = rf"(?i:{'|'.join(_SCALES)}) s?+ \b"
_SHORT_SCALE = r"(?:[kKMB]|[bB]n) (?! [\w^] | \*\*[0-9])"

# Quantifiers that could share characters are possessive (`++`), so that no text takes more than linear time. Nothing
# that stands after the number may hold a digit of its own: "3 hours 20 minutes" and "5 or 6" are no single number.
_NUMBER = re.compile(
    rf"""
    [\s*_`]*+ (?: \$*+ \s*+ [A-Za-z][A-Za-z_]{{0,19}}+ \s*+ (?=[=≈]) )?+     # the x of x = 5
    [\s*_`=≈~]*+ ({_MONEY})?+ \s*+
    ([+\-−–])?+ \s*+ ({_MONEY})?+ \s*+
    (?: ([0-9]++) \s++ (?= [0-9]++ \s*+ [/⁄] \s*+ [0-9]) )?         # the 2 of 2 1/2
    ({_DECIMAL})
    (?: \s*+ [/⁄] \s*+ ({_DECIMAL})
      | (?: \s*+\^\s*+ | [ ]\*\*[ ] | \*\*(?![ ]) ) \{{? ([+\-−]?[0-9]{{1,4}}) \}}? )?
    (?: {_TIMES_TEN} \{{? ([+\-−]?[0-9]{{1,4}}) \}}? )?
    ({_SHORT_SCALE})?
    (?: [*_`]{{1,3}}+ (?=[\s.,;%]|\Z) )?
    ( (?: \s*+ {_SCALE} )*+ )
    \s*+ (?: [%°] | ({_MONEY}) )?+ \s*+
    (?: /?+ \s*+ {_WORD} (?: [\s/·⋅.*-]++ {_WORD} )*+ )?+           # km, km/h, miles per hour, sq. ft
    [\s*_`$]*+ [.,;]?+ [\s*_`$]*+
    """,
    re.VERBOSE,
)

# Not the 2 of H2O, nor the 3 of 1.2.3 or 1/2/3: what stands before belongs to it. A minus between numbers is no sign.
_COUNT_IN_TEXT = r"(?:[0-9]{1,3}(?:(?:,(?:\\!)?+|\{,\}|\\,)[0-9]{3})++|[0-9]++)"
_IN_TEXT = re.compile(
    rf"""
    # the exponent of a unit or a name, passed over: m^2, s^{{-1}}, cm**3
    \^ \s?+ (?: \{{ [^{{}}\n]{{0,40}}+ \}} | [+\-−]?+ [0-9]++ (?:\.[0-9]++)?+ )
    | (?<![{_LETTER}_*]) [{_LETTER}]{{1,3}}+ \*\* [-−]?+ [0-9]{{1,2}}+ (?![\w*])
    | (?<![\w^]) (?<![0-9][./⁄]) (
        (?: [+\-−]?+ (?:{_MONEY})?+ | {_MONEY} [+\-−]?+ )
        (?: (?: [0-9]{{1,15}}+ [ ]?+ )?+ \\[cdt]?frac \{{ [+\-−]?+ [0-9][0-9.,]*+ \}} \{{ [0-9][0-9.,]*+ \}}
          | (?: [0-9]{{1,15}}+ [ ] (?= [0-9]{{1,15}}+ [/⁄] [0-9] ) )?+
            (?: {_COUNT_IN_TEXT} (?:\.[0-9]++)?+ | \.[0-9]++ ) (?: [eE][+\-−]?[0-9]{{1,4}} (?!\w) )?+
            (?: [/⁄] [0-9]++ (?:\.[0-9]++)?+
              | (?: [ ]?+\^[ ]?+ | \*\* )
                (?: \{{ [+\-−]?[0-9]{{1,4}} \}} | [+\-−]?[0-9]{{1,4}}+ (?! [\w*] | \.[0-9] ) ) )?+
        )
        (?: {_TIMES_TEN} (?: \{{ [+\-−]?[0-9]{{1,4}} \}} | [+\-−]?[0-9]{{1,4}} ) )?+
        (?: (?: [ ] {_SCALE} )++ | [ ]? % )?+
    )
    """,
    re.VERBOSE,
)
_SHORT_SCALE_IN_TEXT = re.compile(rf"({_SHORT_SCALE}) (\s*+{_MONEY})?+", re.VERBOSE)
_DIGIT = re.compile("[0-9]")
_WINDOW = 4000


def parse_number(text: str, decimal_comma: bool = False) -> Number | None:
    r"""The one number that a text states, None if it states none, several, or one out of bounds. Never raises.

    Reads `1,234.50`, `$5`, `-$5`, `1e3`, `1.2 x 10^3`, `10^3`, `3/4`, `2 1/2`, `18.`, `**73**`, `5 million`, `5k`,
    `$1.5M`, `x = 5`, the Unicode minus, and words after the number (`7.5 km`, `90 km/h`, `300 K`), which are not looked
    at: units are not converted. In TeX: `2\frac{1}{2}`, `1{,}234`, `72\,\text{km}`, `\(72\)`, `72^\circ`. A percentage
    is its number: `50%` is 50, not 0.5. Not read: words before the number, decimal commas (`1,5`), over 200 characters.
    """
    if _PLAIN.fullmatch(text):
        return Decimal(text)
    if len(text) > _MAX_CHARS:
        return None
    if "\\" in text or "{,}" in text:
        text = plain_tex(text)
    if decimal_comma:
        text = text.translate(_SWAPPED)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    first, sign, second, whole, numerator, denominator, exponent, power, short, scales, after = match.groups()
    try:
        number = Fraction(_plain(numerator))
        if exponent is not None:
            number = _to_the_power(number, int(exponent.replace("−", "-")))
        elif denominator is not None:
            number /= Fraction(_plain(denominator))
        if whole is not None:
            number += int(whole)
        if power is not None:
            number *= Fraction(_plain(f"1e{power}"))
        if short is not None:
            closed = text.rstrip(" \t\n*_`.,;").endswith("$")
            number *= 10 ** _short_scale(short, f"{first or ''}{second or ''}{after or ''}", closed)
        if scales:
            for scale in scales.lower().split():
                number *= 10 ** _SCALES[scale.removesuffix("s")]
    except (ZeroDivisionError, OverflowError):
        return None
    return _within_bounds(-number if sign is not None and sign != "+" else number)


def number_text(number: Number) -> str:
    """A number in the one way in which equal numbers are written: `72`, `0.5`, `1/3`, `6.02e23`."""
    if isinstance(number, Fraction):
        return str(number)
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    if not bare:
        return "0"
    place = int(exponent) + len(text)
    if -_PLAIN_ZEROS <= place <= _PLAIN_DIGITS:
        bare = f"{Decimal(bare).scaleb(place - len(bare), EXACT):f}"
    else:
        bare = f"{bare[0]}{'.' if bare[1:] else ''}{bare[1:]}e{place - 1}"
    return f"-{bare}" if sign else bare


def find_last_number(text: str) -> str | None:
    """The last number that stands in a text, as it is written there: `$1,200`, `-3/4`, `50%`, `5 million`."""
    found = last_number(text)
    return found and found[1]


def last_number(text: str) -> tuple[int, str] | None:
    """Where the last number of a text stands, and the number as it is written there."""
    end = len(text)
    while end > 0:
        # a look at the end alone, then further back: most texts are not passed through
        start = max(0, end - _WINDOW)
        found = None
        if _DIGIT.search(text, start, end):
            # one that goes beyond the window on either side is to be found whole, unless too long to be read anyway
            for match in _IN_TEXT.finditer(text, max(0, start - _MAX_CHARS), end + _MAX_CHARS):
                if match.start() >= end:
                    break
                found = match if match[1] else found
        if found is not None:
            return found.start(), found[1] + _short_scale_after(found)
        end = start
    return None


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


def _plain(written: str) -> Decimal:
    number = Decimal(written.replace(",", "").replace("−", "-"))
    if abs(number.adjusted()) > _LARGEST:
        raise OverflowError(written)
    return number


def _to_the_power(base: Fraction, exponent: int) -> Fraction:
    size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > 4 * _LARGEST:
        raise OverflowError(f"{base} to the power of {exponent}")
    return base**exponent


def _within_bounds(number: Fraction) -> Number | None:
    """The number as a Decimal where it is one; None where it is too large or too small."""
    rest = number.denominator
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    fives = 0
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    size = number.numerator.bit_length() - number.denominator.bit_length()
    if abs(size) > 4 * _LARGEST:
        return None
    if rest != 1:
        return number
    decimals = max(twos, fives)
    return EXACT.scaleb(Decimal(number.numerator * 10**decimals // number.denominator), Decimal(-decimals))


def _short_scale(letters: str, money: str, closed: bool) -> int:
    """The power of ten that the letters after a number mean: `5k`, with currency `$5K`, `$5bn`; 0 for a unit.

    Closed by another `$`, `$5M$` is mathematics and M its unit.
    """
    is_scale = letters == "k" or (money != "" and not (closed and set(money) == {"$"}))
    return _SHORT_SCALES[letters.lower()] if is_scale else 0


def _short_scale_after(found: re.Match[str]) -> str:
    """What belongs to a number found in a text: the k of `5k`, the M of `$5M`, the M€ of `5M€`."""
    after = _SHORT_SCALE_IN_TEXT.match(found.string, found.end())
    if after is None:
        return ""
    behind = after[2] or ""
    closed = behind.endswith("$")
    behind = "" if closed else behind
    money = "".join(re.findall(_MONEY, found[1])) + behind.strip()
    return after[1] + behind if _short_scale(after[1], money, closed) != 0 else ""
