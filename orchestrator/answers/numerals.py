r"""Numerals and values computed from them, as exact numbers: `1,234.50`, `3/4`, `2½`, `10^3`, `3.0×10⁸`, `5 million`.

It knows no words, units or sentences; to read numbers in texts, match the pattern `VALUE`. Texts must have plain
characters (`characters.py`).

    value    = amount [times-ten] {scale}
    amount   = [whole] numeral "/" numeral | [whole] vulgar | numeral power | numeral
    power    = "^" exponent | "**" exponent | superscripts            exponent: a whole number, also in {} or ()
    times-ten= ("x" | "×" | "·" | "*") "10" power
    numeral  = digits, grouped or not, one decimal separator, "e" exponent

A run of digits and separators is one numeral or none: `12,5`, `1.2.3` and `1 000` have no value, and neither does any
part of them. Groups are `1,234`, `12,34,567`, `1.234.567`, `1'234`, `1 234` with a non-breaking space, `1 234 567` with
any space; a single group after a point (`1.234`) is decimals. If commas are decimal, point and comma swap roles.
"""

import re
import unicodedata
from decimal import Context, Decimal, Inexact
from fractions import Fraction

from orchestrator.answers.characters import GROUP_SPACE, MARK, SUPERSCRIPTS
from orchestrator.answers.number_words import SCALES

Number = Decimal | Fraction
"""Exact: a Decimal if the number has finitely many decimals, else a Fraction."""
EXACT = Context(prec=10_000, traps=[Inexact])
"""Exact for sums and products of the numbers read here; an operation that would lose a digit is an error."""

_LARGEST = 400
"""Largest decimal exponent, positive or negative: numbers beyond it are not read, so none is slow to compute with."""
_BITS = 1_400
_MOST_DIGITS = 200

# Quantifiers that could share characters are possessive (`++`), so that no text takes more than linear time.
_RUN = rf"""(?:
    [1-9] [0-9]{{0,2}}+ (?: \ [0-9]{{3}} (?![0-9]) )++ (?: [.,] [0-9]++ )?+
    | [0-9]++ (?: [.,'{GROUP_SPACE}] [0-9]++ )*+
    | \.[0-9]++ )"""
NUMERAL = rf"(?: {_RUN} (?: [eE][+\-]?[0-9]{{1,6}}+ (?! [.,]?[0-9] ) )?+ )"
_EXPONENT = r"\{ \s*+ [+\-]?[0-9]{1,6} \s*+ \} | \( [+\-]?[0-9]{1,6} \) | [+\-]?[0-9]{1,6}+ (?! [.,/]?[0-9] | [\^{] )"
_RAISED = r"(?: \s*+ \^ \s*+ | [ ]\*\*[ ] | \*\* (?![ ]) )"
_SUPER = rf"[{SUPERSCRIPTS[-2:]}]?[{SUPERSCRIPTS[:10]}]{{1,6}}+"
_POWER = rf"(?: {_RAISED} (?: {_EXPONENT} ) | {_SUPER} )"
_VULGAR = "[" + "".join(c for c in map(chr, range(0xBC, 0x218A)) if "<fraction> " in unicodedata.decomposition(c)) + "]"
_LATIN_SCALES = "|".join(word for word in SCALES if word.isascii())
_UNMARKED = {word.replace(MARK, ""): power for word, power in SCALES.items()}
_OTHER_SCALES = "|".join(f"{MARK}*+".join(word) + f"{MARK}*+" for word in _UNMARKED if not word.isascii())
_SCALE = rf"(?: \s*+ (?: (?i:(?:{_LATIN_SCALES}) s?+ \b) | (?:{_OTHER_SCALES}) ) )"

VALUE = rf"""
    (?: (?: (?P<whole>[0-9]++) [ {GROUP_SPACE}]++ (?= [0-9]++ \s*+ / \s*+ [0-9] ) )?+
        (?P<above>{NUMERAL}) \s*+ / \s*+ (?P<below>{NUMERAL})
      | (?: (?P<count>[0-9]++) [ ]?+ )?+ (?P<vulgar>{_VULGAR})
      | (?P<numeral>{NUMERAL}) (?P<power>{_POWER})?+
    )
    (?: \s*+ [xX×·*] \s*+ 10 (?P<ten>{_POWER}) )?+
    (?P<scales>{_SCALE}*+)
"""
"""Matches anything with a value; for use in patterns compiled with re.VERBOSE."""

VULGAR = _VULGAR[1:-1]
_A_SCALE = re.compile(_SCALE, re.VERBOSE)
_SWAPPED = str.maketrans(",.", ".,")
_ORDINARY = re.compile(r"[0-9]++(?:\.[0-9]++)?|\.[0-9]++")
_GROUPED = re.compile(
    rf"""
    [1-9][0-9]{{0,2}}(?:,[0-9]{{3}})++(?:\.[0-9]++)?
    | [1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}(?:\.[0-9]++)?
    | [1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}+(?:,[0-9]++)?
    | [1-9][0-9]{{0,2}}(?:'[0-9]{{3}})++(?:[.,][0-9]++)?
    | [1-9][0-9]{{0,2}}(?:{GROUP_SPACE}[0-9]{{3}})++(?:\.[0-9]++|,(?![0-9]{{3}}\Z)[0-9]++)?
    | [1-9][0-9]{{0,2}}(?:\ [0-9]{{3}}){{2,}}+(?:\.[0-9]++|,(?![0-9]{{3}}\Z)[0-9]++)?
    """,
    re.VERBOSE,
)
_LAST_MARK = re.compile(r"[.,](?=[0-9]*+\Z)")


def value_of(found: re.Match[str], decimal_comma: bool) -> Number | None:
    """The value of a match of `VALUE`; None if it has none."""
    part = found.groupdict()
    try:
        if part["numeral"] and not (part["power"] or part["ten"] or part["scales"]):
            return _numeral(part["numeral"], decimal_comma)
        return bounded(_computed(part, decimal_comma))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None


def bounded(number: Fraction) -> Number | None:
    """The number, as a Decimal if it has finitely many decimals; None if it is too large or too small."""
    below = number.denominator
    if max(number.numerator.bit_length(), below.bit_length()) > 4 * _BITS:
        return None
    size = number.numerator.bit_length() - below.bit_length()
    if number and abs(size) > _BITS:
        return None
    twos = (below & -below).bit_length() - 1
    below >>= twos
    fives = 0
    while below % 5 == 0:
        below //= 5
        fives += 1
    if below != 1:
        return number
    decimals = max(twos, fives)
    return EXACT.scaleb(Decimal(number.numerator * 10**decimals // number.denominator), Decimal(-decimals))


def _computed(part: dict[str, str | None], decimal_comma: bool) -> Fraction:
    numeral, above, below, vulgar = part["numeral"], part["above"], part["below"], part["vulgar"]
    if numeral is not None:
        number = Fraction(_numeral(numeral, decimal_comma))
        if part["power"] is not None:
            number = _raised(number, _exponent(part["power"]))
    elif vulgar is not None:
        top, _, bottom = unicodedata.normalize("NFKC", vulgar).partition("\u2044")
        number = Fraction(int(top), int(bottom)) + _whole(part["count"])
    else:
        assert above is not None and below is not None
        number = Fraction(_numeral(above, decimal_comma)) / Fraction(_numeral(below, decimal_comma))
        number += _whole(part["whole"])
    if part["ten"] is not None:
        number *= _raised(Fraction(10), _exponent(part["ten"]))
    for scale in _A_SCALE.findall(part["scales"] or ""):
        number *= 10 ** _power_of_ten(scale)
    return number


def _numeral(written: str, decimal_comma: bool) -> Decimal:
    """A numeral's value. Raises ValueError if it has none, OverflowError if it is out of bounds."""
    run, _, exponent = written.lower().partition("e")
    if len(run) > _MOST_DIGITS:
        raise OverflowError(written)
    digits = _decimal(run.translate(_SWAPPED)) or _decimal(run) if decimal_comma else _decimal(run)
    if digits is None:
        raise ValueError(written)
    number = Decimal(f"{digits}e{exponent}" if exponent else digits)
    if number and abs(number.adjusted()) > _LARGEST:
        raise OverflowError(written)
    return number


def _decimal(run: str) -> str | None:
    """Digits, grouped or not, as Python writes them; None if their separators follow no known pattern."""
    if _ORDINARY.fullmatch(run):
        return run
    if not _GROUPED.fullmatch(run):
        return None
    # the group separator comes first; a different one after it begins the decimals
    group = next(char for char in run if not char.isdigit())
    whole, mark, decimals = run, "", ""
    if (last := _LAST_MARK.search(run)) and last[0] != group:
        whole, mark, decimals = run[: last.start()], ".", run[last.end() :]
    return whole.replace(group, "") + mark + decimals


def _exponent(written: str) -> int:
    plain = written.translate(str.maketrans(SUPERSCRIPTS, "0123456789+-"))
    return int(plain.strip("^*{}() \n\t"))


def _raised(base: Fraction, exponent: int) -> Fraction:
    size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > 4 * _BITS:
        raise OverflowError(f"{base} to the power of {exponent}")
    return base**exponent


def _whole(written: str | None) -> int:
    if written is not None and len(written) > _MOST_DIGITS:
        raise OverflowError(written)
    return int(written or 0)


def _power_of_ten(scale: str) -> int:
    word = scale.strip().replace(MARK, "").lower()
    return _UNMARKED[word] if word in _UNMARKED else _UNMARKED[word.removesuffix("s")]
