"""What may appear beside a number: units after it, and names and sums on the other side of an equals sign.

Each is distinguished from what would change the number: an unknown (`2x = 10`, `5x`), a word (`5 dozen`), a digit. It
must not know a number's value. Texts must have plain characters; reading takes linear time.
"""

import re
import unicodedata

from orchestrator.answers.characters import ICON, MARK, SUPERSCRIPTS
from orchestrator.answers.number_words import CHANGING, CHANGING_PARTS, CURRENCY, plain_word
from orchestrator.answers.numerals import VULGAR

_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
LETTER = rf"[^\W\d_{SUPERSCRIPTS}{_SUBSCRIPTS}{VULGAR}]"
WORD = rf"(?: {LETTER} (?: {LETTER} | {MARK} | '(?={LETTER}) )*+ )"
MONEY_SIGN = rf"(?: [A-Z]{{1,3}}\$ | \\?[{CURRENCY}] )"

_UNIT_LETTERS = frozenset("mgslhdLAVWJCNFHRSΩÅмгслчтдр")
"""The letters that are units on their own; any other is an unknown, a constant or a scale."""
_SCALES_TOO = frozenset("KMBGT")
"""Letters that are units only when set apart, else thousands, millions or billions: `5 K`, `5 J/K`, `5 m·K`."""
_UNKNOWNS = frozenset("abcnxyz")
_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "lg", "exp", "sqrt", "cbrt", "abs", "floor", "ceil")
)
_RAISED = frozenset(("square", "squares", "cube", "cubes"))
_OPERATIONS = frozenset(("times", "plus", "minus", "over", "divided", "multiplied", "by", "and"))
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff]")
_PARTS = re.compile("|".join(CHANGING_PARTS))


def changes(word: str) -> bool:
    """Whether a word beside a number makes it a different number."""
    plain = plain_word(word)
    if plain in CHANGING or "π" in plain:
        return True
    if not _UNSPACED.search(plain):
        return False
    return _PARTS.search(plain) is not None or any(unicodedata.numeric(char, None) is not None for char in plain)


def changes_before(word: str) -> bool:
    """The same for words before a number in scripts without spaces: `一共` (in all) contains a 一 (one)."""
    plain = plain_word(word)
    return plain in CHANGING or (_UNSPACED.search(plain) is not None and bool(_PARTS.search(plain)))


# --- after a number

_ITEM = re.compile(
    rf"""
    (?P<word>{WORD})
        (?P<exponent> \^ (?: \{{ \s*+ -?[0-9]{{1,2}} \s*+ \}} | -?[0-9]{{1,2}} ) | [{SUPERSCRIPTS}]{{1,3}}
          | \*\*-?[1-9] (?![0-9*]) | (?<=[ABD-OQS-WYZa-qs-wyzµΩ])[23] (?![\w^]) )?+
    | (?P<space> \s++ )
    | (?P<sign> [%‰°{ICON}] | {MONEY_SIGN} )
    | (?P<quote> ["'] )
    | (?P<over> / )
    | (?P<hyphen> - (?={LETTER}) )
    | (?P<times> [*·] (?= °?+ {LETTER}) )
    | (?P<mark> [*_`]++ )
    | (?P<stop> [.,;!。、，；！—…] )
    | (?P<open> [(\[] )
    """,
    re.VERBOSE,
)
# Neither the end nor the beginning of italic or bold text, but a product or an index.
_MISPLACED = (re.compile(r"\w"), re.compile(r"\s"))
_BRACKETS = re.compile(r"[()\[\]]")
_EACH_WORD = re.compile(WORD, re.VERBOSE)
_REMARK = re.compile(
    rf"\s*+ (?: [=≈~] | {LETTER}{{2}} | {_UNSPACED.pattern} | [{''.join(_UNIT_LETTERS)}] \s*+ \Z )", re.VERBOSE
)


def unit_behind(text: str) -> bool | None:
    """Whether the text after a number names a unit; None if it changes the number or is more than a unit."""
    at, before, named, words = 0, "", False, 0
    while at < len(text):
        item = _ITEM.match(text, at)
        if item is None:
            return None
        kind, at = item.lastgroup or "", item.end()
        if kind == "exponent":
            kind = "word"
        if kind == "word":
            if _is_no_unit(item["word"], words, before) or (item["exponent"] in ("2", "3") and len(item["word"]) > 3):
                return None
            named, words = True, words + 1
        elif kind == "open":
            end = _closed(text, at)
            if before == "over":  # J/(kg·K)
                if end is None or not _is_unit(text[at : end - 1]):
                    return None
            elif end is None or before not in ("space", "word") or not _is_remark(text[at : end - 1]):
                return None
            kind, at = "word", end
        elif kind == "stop":
            # 5! and 0.333... are different numbers
            if not words and (item[0] in "!…" or before == "stop" or text.startswith("..", at - 1)):
                return None
        elif kind == "times" and before != "word":
            if before != "space" or item[0] != "*":  # " *km*" is italic, "5*km" is a product
                return None
            kind = "mark"
        elif kind == ("hyphen" if before == "space" else "") or (
            kind == "mark" and _MISPLACED[before == "space"].match(text, at)
        ):
            return None
        elif kind == "sign":
            named = True
        if before == "over" and kind not in ("space", "word") and item[0] != "°":
            return None
        before = before if kind == "space" and before == "over" else kind
    return None if before == "over" else named


def _is_no_unit(word: str, words: int, before: str) -> bool:
    if changes(word):
        return True
    if words and before not in ("over", "times", "hyphen"):
        return False
    if len(word) == 1:
        # letters of other scripts are words: 元, 개
        known = word in _UNIT_LETTERS or (word in _SCALES_TOO and before in ("space", "over", "sign", "times"))
        return not (known or ord(word) >= 0x590)
    return _UNKNOWNS.issuperset(word) and word != "cc"


def _is_unit(text: str) -> bool:
    return _BRACKETS.search(text) is None and unit_behind(text) is True


def _closed(text: str, at: int) -> int | None:
    """The position after the bracket that closes the one before `at`; None if nothing closes it."""
    depth = 1
    for bracket in _BRACKETS.finditer(text, at):
        depth += 1 if bracket[0] in "([" else -1
        if depth == 0:
            return bracket.end()
    return None


def _is_remark(text: str) -> bool:
    return _REMARK.match(text) is not None and not any(changes(word) for word in _EACH_WORD.findall(text))


# --- on the other side of an equals sign

_NAME = re.compile(
    rf"""
    [\s*_`"'$]*+
    (?: (?: [∠△] \ ?+ )?+ {LETTER} (?: {LETTER} | {MARK} | [0-9{_SUBSCRIPTS}] | ['] )*+
        (?: _ (?: \{{ [\w\s,]{{1,30}}+ \}} | \w{{1,20}}+ ) )?+
        (?: \ ?+ [(\[] [^()\[\]]{{0,80}}+ [)\]] )?+
        (?: (?<={LETTER}{LETTER}) - (?={LETTER}) | - (?={LETTER}{LETTER}) | (?<={LETTER}{{3}}) [,.!。，、] )?+
        [\s*_`"'$]*+
    )*+
    """,
    re.VERBOSE,
)
_PRODUCT = re.compile(
    r"""
    (?<=\w)\*(?=\w)                                                        # x*y
    | \b ([a-z]) \ ?+ \( (?=[^()]*+[+\-*/^]) (?: [^()]*? \b\1\b | (?<=[abckmnx]\() )    # x(x+1), a(b+c)
    """,
    re.VERBOSE,
)
_SUM_ITEM = re.compile(
    rf"""
    (?P<number> [0-9] [0-9.,']*+ | [{VULGAR}] )
    | (?P<operator> [+\-/÷·^×%√°{SUPERSCRIPTS}*] )
    | (?P<open> [(\[{{] ) | (?P<close> [)\]}}!] )
    | (?P<money> {MONEY_SIGN} )
    | (?P<times> [xX] (?= \s*+ [0-9(.{CURRENCY}] ) )
    | (?P<word> {WORD} )
    | (?P<space> [\s_`,"]++ )
    """,
    re.VERBOSE,
)


def is_name(text: str) -> bool:
    """Whether a text is empty or names a quantity: `x_1`, `f(2)`, `total cost`, but not a sum with an unknown."""
    if _NAME.fullmatch(text) is None or _PRODUCT.search(text):
        return False
    written = _EACH_WORD.findall(text)
    words = [plain_word(word) for word in written]
    if len("".join(words)) > 1 and all(len(word) <= 3 and _UNKNOWNS.issuperset(word) for word in written):
        return False  # xy, x y
    if "of" in words and not _RAISED.isdisjoint(words):  # the square of x
        return False
    return not any(word in _FUNCTIONS or (changes(word) and word != "π") for word in words)


def is_sum(text: str) -> tuple[bool, bool]:
    """Whether a text is a calculation without unknowns (`6 * 12`, `5 km`), and whether it is just one quantity."""
    at, state, gap, numbers, operations, units = 0, "start", False, 0, 0, 0
    while at < len(text):
        item = _SUM_ITEM.match(text, at)
        if item is None:
            return False, False
        kind, at = item.lastgroup or "", item.end()
        if kind == "space":
            gap = True
            continue
        if kind == "times" and state not in ("number", "close", "unit", "percent"):
            kind = "word"
        if kind == "number" and state in ("number", "unit"):
            return False, False
        if kind == "operator" and item[0] in "%°":
            kind = "percent"
        if kind == "operator" and state == "unit" and item[0] in "/·*":
            kind = "per"
        if kind == "word":
            word = item[0].casefold()
            if word in _OPERATIONS or (word == "of" and state == "percent") or word in _FUNCTIONS:
                kind = "times"
            elif state in ("number", "unit", "percent", "per") and _is_measured(item[0], gap, state):
                kind = "unit"
            else:
                return False, False
        numbers += kind == "number"
        units += kind == "unit"
        operations += kind in ("times", "operator")
        state, gap = kind, False
    return numbers > 0, units > 0 and not operations


def _is_measured(word: str, gap: bool, state: str) -> bool:
    """Whether a word that follows a number or a unit in a sum is a unit rather than an unknown."""
    if len(word) == 1:
        return (gap or state != "number") and (word in _UNIT_LETTERS or ord(word) >= 0x590)
    return not _UNKNOWNS.issuperset(word) or word == "cc"
