r"""Reading and writing numbers as people and models state them. Knows nothing about answers, tolerances or tasks.

A text states a number if the whole text can be read as a statement; otherwise no number is read, not even from a part.

    statement = {side joint} side [remark]     the last side counts; in `45 = total cost` it is the first
    joint     = "=" | "≈" | ":=" | "is" | ":" ...
    side      = number | name | sum            all but the one that counts: a name (`x_1`, `f(2)`, `total cost`) or a
                                               sum without an unknown (`6 * 12`, `5 km`): `2x = 10` states no number
    number    = [lead] [money] [sign] [money] value [scale letter] [unit]
    lead      = "about" | "~" | words in a script that does not separate words (`答案是`) ...
    unit      = words, `%`, `°`, currencies, exponents of units, in any order; never a separate digit, a lone unknown
                (`5x`) or a word that changes the number (`5 dozen`, `5 or six`): see number_words.py
    remark    = "(" ... ")" | "because" ... | a model's control token (`<|im_end|>`) and what follows it

`value` is described in numerals.py. Units are not converted, and neither are percentages: `50%` is 50, not 0.5.
"""

import math
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

from orchestrator.answers.characters import ICON, MARK, SUPERSCRIPTS, plain_characters
from orchestrator.answers.control_tokens import before_token
from orchestrator.answers.number_sides import (
    LETTER,
    MONEY_SIGN,
    WORD,
    changes,
    changes_before,
    is_name,
    is_sum,
    unit_behind,
)
from orchestrator.answers.number_words import COPULAS, CURRENCY_WORDS, plain_word
from orchestrator.answers.numerals import EXACT, VALUE, VULGAR, Number, bounded, value_of
from orchestrator.answers.tex import plain_tex

__all__ = ["EXACT", "Number", "format_number", "looks_decimal_comma", "number_text", "parse_number"]

_MAX_CHARS = 1_000
# Most answers have this form; it is many times faster to read than the full grammar.
_PLAIN = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?")
_PLAIN_WHOLE = re.compile(r"-?[0-9]{1,100}")

_CLOSING_TAG = re.compile(r"</[A-Za-z][\w-]{0,40}>")
_REASON = re.compile(r"(?<=\S)[\s,;.]++(?:because|since|weil|porque|parce\ que)\b", re.IGNORECASE)
_ANY_NUMBER = re.compile(f"[0-9{VULGAR}]")
_JOINT = re.compile(
    rf"""
    (?P<open> [(\[{{] ) | (?P<close> [)\]}}] )
    | (?P<relation> [<>!*/]= | =/= | [<>≤≥≠±∓≡] )
    | (?P<implies> => | [⇒⟹∴] )
    | (?P<equals> :?={{1,3}} | ≈ )
    | (?P<copula> (?<![\w'-]) (?i: (?: is | are )?+ \s*+ equal (?: s | \s++ to | s\s++to ) | {COPULAS} ) (?![\w'-]) )
    | (?P<colon> : )
    """,
    re.VERBOSE,
)

_MONEY = rf"(?: {MONEY_SIGN} | (?: {CURRENCY_WORDS} ) (?=[\s0-9.\-+]) )"
_FOREIGN = "\u0590-\u1cff\u2e80-\ud7ff\uf900-\ufaff"
_SIDE = re.compile(
    rf"""
    [\s*_`"'{ICON}]*+ [~→]?+ [\s*_`"'$]*?
    (?: (?i: about | approximately | approx\.? | roughly | around | circa | exactly | precisely | just | only | simply
        | now | therefore | thus | so | hence ) [\s,*_`]++ )*+
    (?P<lead> (?: [{_FOREIGN}] [{_FOREIGN}{MARK}]*+ [\s，。、,!"]*+ )*+ )
    [*_`~]*+ (?P<money>{_MONEY})?+ \s*+
    (?P<sign> [+\-] | (?i: minus | negative ) [ ]++ )?+ \s*+ (?P<more_money>{_MONEY})?+ \s*+
    {VALUE}
    """,
    re.VERBOSE,
)
_WORD = re.compile(WORD, re.VERBOSE)
_VECTOR = re.compile(
    r"[0-9]\s*+\\(?:hat|vec|bm|boldsymbol|widehat|mathbf|mathbb)\s*+\{?+\s*+[A-Za-z]\s*+\}?+(?![A-Za-z])"
)
_BARE = re.compile(r"[\s$]*+[0-9][0-9.,]*+\s*+")
_TWO_STATEMENTS = re.compile(rf"[,;\n，；、∧∨&|→⇔] | \\ | [0-9] \s++ {LETTER} | \A \s*+ \Z", re.VERBOSE)
_SCALE_LETTER = re.compile(
    rf"(MM|mn|[kKmMbBT]|[bB]n|tn)(?!{LETTER}|[0-9^'{SUPERSCRIPTS}]|\*\*[0-9]) \s*+ ({MONEY_SIGN})?+", re.VERBOSE
)
_LETTER_APART = re.compile(r"\s++[kKmMbBTG]n?(?![\w^²³*/·])")
_SCALE_LETTERS = {"k": 3, "m": 6, "mm": 6, "mn": 6, "b": 9, "bn": 9, "t": 12, "tn": 12}
_SCALED_MONEY = re.compile(rf"\s++(?:MM|mn|[kKmMbBT]|[bB]n|tn)\s*+{MONEY_SIGN}", re.VERBOSE)
_OF_UNKNOWN = re.compile(r"[0-9]k\W*\Z")
_NO_SIGN_BEFORE = re.compile("[\u0590-\u0dff]\\Z")


def parse_number(text: str, decimal_comma: bool = False) -> Number | None:
    """The number that a text states; None if it states none, several, or one out of bounds. Never raises.

    `decimal_comma`: `12,5` is 12.5 and `1.234` is 1234. Without it, `12,5` is not a number.
    """
    if (_PLAIN_WHOLE if decimal_comma else _PLAIN).fullmatch(text):
        return Decimal(text)
    if len(text) > _MAX_CHARS:
        return None
    if "\\" in text or "{,}" in text:
        if _VECTOR.search(text):
            return None
        text = plain_tex(text)
    if not text.isascii():
        text = plain_characters(unicodedata.normalize("NFC", text))
    return _stated(text, decimal_comma)


def looks_decimal_comma(text: str) -> bool:
    """Whether a text states a number only if commas are decimal: `12,5`, `0,305`, `1.234,56 €`."""
    return "," in text and parse_number(text) is None and parse_number(text, decimal_comma=True) is not None


def number_text(number: Number) -> str:
    """A number in canonical form, the same for equal numbers: `72`, `0.5`, `1/3`, `6.02e23`."""
    if not isinstance(number, Decimal):
        return str(number)
    if not number:
        return "0"
    text = str(number := number.normalize(EXACT))
    if "E" not in text:
        return text
    if -15 <= number.adjusted() <= 20:
        return f"{number:f}"
    return text.replace("E+", "e").replace("E", "e")


def format_number(x: float) -> str:
    """The shortest plain decimal with 6 significant digits: `420`, `0.00062`, `4.66028`.

    Whole numbers below 1e15 keep all their digits (a count is exact, and 1234567 is not 1234570). Magnitudes outside
    1e-9 to 1e15 are written with an exponent: `1e20`. Raises ValueError if x is not finite.
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


def _stated(text: str, decimal_comma: bool) -> Number | None:
    """The number of a statement."""
    bare = _without_remark(text)
    split = None if bare is None else _sides(bare)
    if split is None:
        return None
    sides, joints = split
    found = _of_side(sides[-1], decimal_comma)
    if found is None:
        # 45 = total cost
        backwards = len(sides) == 2 and sides[1].strip(" $*_`.") and is_name(sides[1])
        first_side = _of_side(sides[0], decimal_comma) if backwards else None
        return first_side and first_side[0]
    number, named = found
    if len(sides) > 1 and len(sides[-2].strip(" $")) == 1 and _OF_UNKNOWN.search(sides[-1]):
        return None  # n = 2k
    subject = False
    for side, joint in zip(sides, joints, strict=False):
        if is_name(side):
            subject = subject or (joint == "equals" and bool(side.strip()))
            continue
        computed, alone = is_sum(side) if joint != "colon" else (False, False)
        if not (computed and (named or not alone)) and not (subject and _is_working(side)):
            return None
    return number


def _without_remark(text: str) -> str | None:
    """A text without the remark after its number; None if it has no number or the remark retracts it."""
    first = _ANY_NUMBER.search(text)
    if first is None:
        return None
    text = before_token(text)
    if tag := _CLOSING_TAG.search(text, first.end()):
        if _ANY_NUMBER.search(text, tag.end()):
            return None
        text = text[: tag.start()]
    if reason := _REASON.search(text, first.end()):
        if any(changes(word) for word in text[reason.end() :].split()):
            return None
        text = text[: reason.start()]
    return text


def _sides(text: str) -> tuple[list[str], list[str]] | None:
    """The sides of a statement and the joints between them; None if it is not an equation, such as `x > 5`."""
    sides: list[str] = []
    joints: list[str] = []
    solved = None
    at = depth = 0
    for joint in _JOINT.finditer(text):
        kind = joint.lastgroup or ""
        if kind in ("open", "close"):
            depth = depth + 1 if kind == "open" else max(0, depth - 1)
        elif depth:
            continue
        elif kind == "relation" or (kind == "colon" and _is_ratio(text[at : joint.start()], text[joint.end() :])):
            return None
        elif kind == "implies":
            # an equation implies another one; at the beginning of a text, it follows from something said before
            if text[at : joint.start()].strip() and "equals" not in joints:
                return None
            if joints == ["equals"] and is_name(sides[0]) and _of_side(text[at : joint.start()], False) is not None:
                solved = sides[0].strip(" $")
            sides, joints, at = [], [], joint.end()
        else:
            sides.append(text[at : joint.start()])
            joints.append(kind)
            at = joint.end()
    if solved and sides and sides[0].strip(" $") != solved:
        return None  # x = 5 => y = 6
    return [*sides, text[at:]], joints


def _is_ratio(left: str, right: str) -> bool:
    """Whether a colon separates two bare numbers: `12:30`, `2 : 3`."""
    return _BARE.fullmatch(left) is not None and right.lstrip()[:1].isdigit()


def _is_working(text: str) -> bool:
    """Whether a side may come between a name and its number, like `πr²` in `A = πr² = 78.5`; `5, y` may not."""
    words = (word.replace("π", "") for word in _WORD.findall(text))
    return _TWO_STATEMENTS.search(text) is None and not any(word and changes(word) for word in words)


def _of_side(text: str, decimal_comma: bool) -> tuple[Number, bool] | None:
    """The number on one side of a statement, and whether it has a unit or currency; None if it is not a number."""
    text, mathematics = _without_dollars(text)
    found = _SIDE.match(text)
    if found is None or (found["lead"] and not _may_lead(found["lead"], found["sign"])):
        return None
    number = value_of(found, decimal_comma)
    if number is None:
        return None
    money = found["money"] or found["more_money"]
    tail = text[found.end() :]
    if letters := _SCALE_LETTER.match(tail):
        money = money or letters[2]
        small = letters[1] in ("bn", "Bn") or (letters[1] == "k" and not mathematics)
        if letters[1] != "m" or money:
            if (
                not (money or small)
                or (scaled := bounded(Fraction(number) * 10 ** _SCALE_LETTERS[letters[1].lower()])) is None
            ):
                return None
            number, tail = scaled, tail[letters.end(1) :]
    elif (money and _LETTER_APART.match(tail)) or _SCALED_MONEY.match(tail):
        return None
    named = unit_behind(tail.rstrip("\\") if not mathematics else tail)
    if named is None:
        return None
    negative = found["sign"] and not found["sign"].startswith("+")
    return (-number if isinstance(number, Fraction) else number.copy_negate()) if negative else number, named or bool(
        money
    )


def _without_dollars(text: str) -> tuple[str, bool]:
    """A side without TeX's delimiters around mathematics (`$5$`, `{5}`), and whether it had dollar signs."""
    text, mathematics = text.strip(), False
    while True:
        bare = text.strip(" \t\n*_`.,;")
        if len(bare) > 2 and bare[0] == bare[-1] == "$":
            text, mathematics = bare[1:-1], True
        elif bare[:1] == "{" and bare[-1:] == "}" and "{" not in bare[1:] and "," not in bare:
            text = bare[1:-1]
        else:
            return text, mathematics


def _may_lead(words: str, sign: str | None) -> bool:
    """Whether the words right before a number merely introduce it."""
    if sign and _NO_SIGN_BEFORE.search(words):  # the sign may be a hyphen after a prefix
        return False
    plain = plain_word(words).strip()
    if plain[-1:] and unicodedata.numeric(plain[-1], None) is not None:
        return False
    return not any(changes_before(word) for word in plain.split())
