r"""The last number in a running text, and its position. Follows the grammar of `parse_number`, which then reads it.

Anything that looks like a number is found whole: `12,5`, `1.2.3`, `2:1`, `3^{n+1}`, `5 dozen` and `half of 5` are found
as written, although none has an unambiguous value, so that no part of them is mistaken for a number. Names contain no
number: `H2O`, `x_1`, `COVID-19`, `m^2`, `5th`. A minus between numbers is not a sign. Linear time.
"""

import re

from orchestrator.answers.characters import BROKEN, MARK, SUPERSCRIPTS, kept_places, plain_characters
from orchestrator.answers.number_sides import LETTER, MONEY_SIGN, changes
from orchestrator.answers.number_words import WRITTEN_OUT
from orchestrator.answers.numbers import parse_number
from orchestrator.answers.numerals import VALUE, VULGAR

_ALPHA = "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u052f"
_BRACES = r"\{ (?: [^{}\n] | \{ [^{}\n]{0,60}+ \} ){0,120}+ \}"
_ARGUMENT = rf"\s*+ (?: {_BRACES} | [0-9] )"
_TEX_POWER = rf"\^ \s?+ (?: {_BRACES} | [+\-]?+ \w++ (?:\.[0-9]++)?+ )"
_THIS_HIGH = rf"(?: {_TEX_POWER} | [{SUPERSCRIPTS}]++ )"

_TOKEN = re.compile(
    rf"""
    # names, with their indices and exponents
    (?<![{_ALPHA}_*]) [{_ALPHA}]{{1,3}}+ \*\* -?+ [0-9]{{1,2}}+ (?! [\w*] )
    | (?<=[0-9]) [{_ALPHA}] [{_ALPHA}0-9]*+ {_THIS_HIGH}?+
    | [{_ALPHA}] [{_ALPHA}0-9_₀-₉{MARK}]*+
        (?: (?<=[0-9]) [./:] [0-9]++ | - [0-9]++ [{_ALPHA}0-9]*+ | _ {_BRACES} )*+ {_THIS_HIGH}?+
    | {_THIS_HIGH}
    | _ (?: {_BRACES} | [0-9]++ )
    | (?P<number>
        (?: (?: (?<![0-9)\]{_ALPHA}\u0590-\u0dff]) [+\-] )?+ (?: {MONEY_SIGN} )?+ | {MONEY_SIGN} [+\-]?+ )
        (?: (?: [0-9]{{1,15}}+ (?:\.[0-9]++)?+ [ ]?+ )?+
              \\(?: [cdt]?frac {_ARGUMENT} {_ARGUMENT} | sqrt {_ARGUMENT} )
          | [0-9]++ (?: (?: ,\\! | \{{,\}} | \\, | \\!, ) [0-9]++ )++ (?: [.,] [0-9]++ )*+
          | {VALUE}
        )
        (?: \s*+ \\(?: times | cdot ) \s*+ 10 {_TEX_POWER} )?+
        # trailing text, even if no number follows
        (?: (?: [/:] | (?<=[{SUPERSCRIPTS}{VULGAR}]) ) [0-9]++ (?: [.,'] [0-9]++ )*+
          | {_TEX_POWER} | \^ | [{SUPERSCRIPTS}{VULGAR}{BROKEN}{MARK}₀-₉]++ | _ (?: {_BRACES} | [0-9]++ ) )*+
        (?: [ ]?+ % )?+
      )
    | \\[A-Za-z]++
    """,
    re.VERBOSE,
)
_GLUED = re.compile(
    rf"(?: [{_ALPHA}]{{1,20}}+ [{_ALPHA}0-9]*+ | (?: {LETTER} | {MARK} ){{1,20}}+ ) (?: \s?+ {MONEY_SIGN} )?+"
    r" | \s?+ \\pi (?![A-Za-z])",
    re.VERBOSE,
)
_LETTERS_BEFORE = re.compile(rf"[{_ALPHA}]++\Z")
_NO_COUNT = re.compile(r"[0-9]*+(?:st|nd|rd|th)\b|[12][0-9]{2}0s\b")
_WORDS_BEHIND = re.compile(
    rf"[ ]++ (?: (?: and | or | to | plus | times | over | point ) [ ]++ (?: an? [ ]++ )?+ )?+"
    rf" (?: {'|'.join(sorted(WRITTEN_OUT, key=len, reverse=True))} | squared | cubed | factorial | π ) \b",
    re.VERBOSE | re.IGNORECASE,
)
_WORDS_BEFORE = re.compile(
    r"(?: \b (?: half | third | quarter | twice | thrice | double | triple | negative ) (?: \ of )?+ [ ] | √ )\Z",
    re.VERBOSE | re.IGNORECASE,
)
_SIGN_BEFORE = re.compile(r"(?<=[=≈:]) (?:\s?)(-[ ])\Z", re.VERBOSE)
_PERIODIC = re.compile(r"\.{2,}+|…")
_DIGIT = re.compile(rf"[\d{VULGAR}]")
_WINDOW = 4000
_OVERLAP = 300
_LOOK_BACK = 24


def last_number(text: str) -> tuple[int, str] | None:
    """The position of the last number in a text, and the number as written: `$1,200`, `-3/4`, `50%`, `5 million`."""
    end = len(text)
    while end > 0:
        # look at the end first, then further back: most texts need not be scanned whole
        start = max(0, end - _WINDOW)
        if _DIGIT.search(text, start, end):
            # a number that crosses an edge of the window must be found whole, unless it is too long to be read anyway
            first = max(0, start - _OVERLAP)
            if found := _last_in(text[first : end + _OVERLAP], end - first):
                return first + found[0], found[1]
        end = start
    return None


def _last_in(text: str, end: int) -> tuple[int, str] | None:
    """The last number that begins before `end`."""
    plain = plain_characters(text)
    places = None if len(plain) == len(text) else kept_places(text)
    found = None
    for match in _TOKEN.finditer(plain):
        if (places[match.start()] if places else match.start()) >= end:
            break
        if match["number"] and not _NO_COUNT.match(plain, match.start()):
            found = match
    if found is None:
        return None
    first, last = _whole(plain, found)
    if places:
        first, last = places[first], places[last - 1] + 1
    return first, text[first:last]


def _whole(text: str, found: re.Match[str]) -> tuple[int, int]:
    """The start and end of a number, including anything on either side that changes it."""
    first, last = found.span("number")
    glued = _GLUED.match(text, last)
    if glued and parse_number(text[first : glued.end()]) != parse_number(text[first:last]):
        last = glued.end()
    elif words := _WORDS_BEHIND.match(text, last):
        last = words.end()
    if text[first] == "$" and text.startswith("$", last) and last > found.end("number"):
        last += 1
    elif "." in text[first:last] and (periodic := _PERIODIC.match(text, last)):
        last = periodic.end()
    before = text[max(0, first - _LOOK_BACK) : first]
    if words_before := _WORDS_BEFORE.search(before) or _SIGN_BEFORE.search(before) or _LETTERS_BEFORE.search(before):
        first -= len(before) - words_before.start(words_before.lastindex or 0)
    elif before and ord(before[-1]) > 0x2E7F and changes(before[-1]):
        first -= 1
    return first, last
