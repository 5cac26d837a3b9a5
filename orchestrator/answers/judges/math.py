r"""The judge `math`: an expression with the same value is right, according to math-verify.

Plain notation is converted to TeX first, and numbers are compared as numbers, with a tolerance scaled to their size. A
gold answer is read twice, by math-verify and by orch's own reader; if the two disagree, it is not used for judging.
math-verify is imported when the first answer is judged. Its own time limits rely on SIGALRM, which does nothing outside
the main thread: they are off, and the whole judge runs in a process that can be killed.
"""

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.answers.numbers import parse_number
from orchestrator.answers.plain_math import NoNumberError, NotMathematicsError, as_tex
from orchestrator.answers.plain_value import letter_value, value_at
from orchestrator.answers.tex import plain_tex
from orchestrator.types import FinishReason, Verdict

_MAX_CHARS = 2_000
"""Maximum length of an answer; the grammar uses a stack frame for each bracket."""
_POINTS = 3
_MORE_THAN_A_NUMBER = re.compile("[A-Za-z%=]")
_MATH_SIGNS = re.compile(r"(?<!\\)\\[()\[\]]")
_TEXT_AT_THE_END = re.compile(
    r"(?<=[^\s,;=\\]) (?:\\[,;:!\ ]|~|\s)*+ \\(?:text|mathrm|mathit|mathbf|textrm|textbf|textit|textnormal|mbox) \s*+"
    r"\{ (?!\s*+(?:and|or)\b) [^{}]*+ \} (?: \^\s*+ (?:[0-9] | \{[0-9]\}) )?+ \s*+ \Z",
    re.VERBOSE,
)
"""A unit in TeX, which one answer may have and another may omit: `5 \\text{ cm}^2`."""
_PLAIN = re.compile(r"(?:[A-Za-z]\w*+\s*+=\s*+)?[-+]?[0-9][0-9.,]*+")
_ONE_LETTER = frozenset("ghlmstLNJWVAKC")
_UNIT = re.compile(
    r"""
    (?P<value> .* [0-9)}\s] ) (?: \\[,;:!\ ] | ~ | \s )*+
    (?P<whole>
        (?P<unit> [cmkd]?m | in | ft | yd | mi | [mk]?g | lbs? | oz | [mcd]?[lL] | gal | m?s | sec | min | h | hrs?
                | yrs? | mph | kmh? | kph | sq | deg | k?Pa | [mk]?[NJWVA] | k?Hz | kWh | mol | K | C | t )
        (?: \s*+ /\s*+ (?: s|h|hr|min|kg|g|m|cm|l|L ) )?+
        (?: \s*+ (?: \^\s*+ (?: [23] | \{[23]\} ) | [²³] ) )?+
    ) [.]?
    """,
    re.VERBOSE | re.DOTALL,
)


class MathJudge(BaseJudge):
    r"""An expression with the gold answer's value is right: `\frac{1}{2}` for `0.5`, `x+1` for `1+x`."""

    VERSION: ClassVar[int] = 2
    guarded: ClassVar[bool] = True  # 9**9**9 is an expression
    LIBRARIES: ClassVar[tuple[str, ...]] = ("math-verify", "latex2sympy2_extended", "sympy")

    type: Literal["math"] = "math"
    precision: int = Field(default=6, ge=0, le=15)
    """Digits to which numbers must agree: decimal places, or significant digits for a number below 1."""

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no expression), truncated (cut off before an answer) or error (bad gold answer)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        value = " ".join(extracted.split())
        found = _read(value)
        if not found:
            return Verdict("unparsed")
        wanted = _read(gold) if self.check_gold(gold) is None else ()
        if not wanted:
            return Verdict("error", value)
        if (doubt := _doubt(gold)) is not None:
            return Verdict("error", doubt)
        wanted, found = _without_units(gold, wanted, value, found)
        return Verdict("correct" if _same(wanted, found, self.precision) else "wrong", value)

    def in_words(self) -> str:
        """Its name and criterion, including its precision."""
        return f"math, worth the same as the gold answer to {self.precision} digits"

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it may be. It is not parsed: no time limit applies here."""
        if problem := check_text(answer):
            return problem
        if len(answer) > _MAX_CHARS:
            return f"it is longer than {_MAX_CHARS} characters: shorten it"
        try:
            as_tex(answer)
        except NotMathematicsError as why:
            if isinstance(why, NoNumberError) or parse_number(answer) is None:
                return f"{why}: write it in TeX or plain notation (2*x, x^2), or set judge: {{type: exact}}"
        return None

    def prepare(self) -> None:
        """Import math-verify and SymPy, and let them build their tables; this takes seconds, once."""
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limits are off
        self.judge(r"\frac{x}{2}", "0.5*x", "stop")


@lru_cache(maxsize=10_000)
def _read(text: str) -> tuple[Any, ...]:
    """The expression in a text, and how it was written; empty if there is none."""
    if len(text) > _MAX_CHARS:
        return ()
    number = parse_number(text)
    if number is not None and not _MORE_THAN_A_NUMBER.search(plain_tex(text)):
        return (_rational(number), text)
    try:
        tex = as_tex(text)
    except NotMathematicsError as why:
        return () if number is None or isinstance(why, NoNumberError) else (_rational(number), text)
    return _parsed(tex)


def _parsed(tex: str) -> tuple[Any, ...]:
    """The expression in a TeX text, and how it was written; only the text if the library cannot read it.

    It does what math-verify's `parse` does, but drops no letter at the end as a unit, and distinguishes `R` from `r`.
    Nothing is read as a plain expression, which would end up in SymPy's parse_expr, an eval.
    """
    from latex2sympy2_extended import NormalizationConfig, normalize_latex
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
    from math_verify.grader import should_treat_as_complex
    from math_verify.parser import get_last_eq

    rules = NormalizationConfig(units=False, malformed_operators=True, nits=True, boxed="last")
    tex = _TEXT_AT_THE_END.sub("", _MATH_SIGNS.sub(" ", tex))
    normal: str = normalize_latex(f"\\boxed{{{tex}}}", config=rules)
    for latex in dict.fromkeys((normal, get_last_eq(normal))):
        try:
            expression = latex2sympy(
                latex,
                is_real=not should_treat_as_complex(latex),
                convert_degrees=False,
                normalization_config=None,
                conversion_config=ConversionConfig(lowercase_symbols=False),
            )
        except Exception:  # the grammar raises errors of every kind
            continue
        if expression is not None:
            return (_with_own_letters(expression), normal)
    return (normal,) if normal else ()


def _rational(number: Any) -> Any:
    from sympy import Rational

    exact = Fraction(number)
    return Rational(exact.numerator, exact.denominator)


def _with_own_letters(expression: Any) -> Any:
    """An expression in which `i` is the imaginary unit, and gamma a letter like any other."""
    from sympy import Basic, EulerGamma, I, Symbol

    if not isinstance(expression, Basic):
        return expression
    given = {symbol: I for symbol in expression.free_symbols if symbol.name == "i"}
    try:
        replaced = expression.xreplace({**given, EulerGamma: Symbol("gamma", real=True)})
    except ValueError:  # `i` is also the index of a sum
        return expression
    # the library makes letters real or not depending on whether an `i` is among them
    return replaced.xreplace({symbol: Symbol(symbol.name, real=True) for symbol in replaced.free_symbols if given})


# --- units


def _without_units(
    gold: str, wanted: tuple[Any, ...], answer: str, found: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Both sides without units, if one has a unit and the other is a number, or both have the same unit."""
    ours, theirs = (_unit(side) if _has_letters(read) else None for side, read in ((gold, wanted), (answer, found)))
    if ours and theirs:
        return (_read(ours[0]), _read(theirs[0])) if ours[1] == theirs[1] else (wanted, found)
    if ours and not _has_letters(found):
        return _read(ours[0]) or wanted, found
    if theirs and not _has_letters(wanted):
        return wanted, _read(theirs[0]) or found
    return wanted, found


def _unit(text: str) -> tuple[str, str] | None:
    """A text without the unit at its end, and the unit; None if it has none.

    A single letter is a unit only after a number: after anything else, it is a factor.
    """
    match = _UNIT.fullmatch(text.strip().strip("$").strip())
    if match is None:
        return None
    number, unit = match["value"].strip(), match["unit"]
    if len(unit) == 1 and (not _PLAIN.fullmatch(number) or unit not in _ONE_LETTER):
        return None
    return number, re.sub(r"[\s^{}]", "", match["whole"])


def _has_letters(read: tuple[Any, ...]) -> bool:
    """Whether the value (the 5 in `x = 5`) contains letters."""
    from sympy import Basic, Eq

    value = read[0] if read else None
    value = value.rhs if isinstance(value, Eq) and value.lhs.is_Symbol else value
    return isinstance(value, Basic) and bool(value.free_symbols)


# --- a gold answer, read twice


@lru_cache(maxsize=10_000)
def _doubt(gold: str) -> str | None:
    """A description of two conflicting readings of a gold answer; None if they agree or there is only one."""
    expression = _scalar(_read(gold))
    if expression is None:
        return None
    number = parse_number(gold)
    for point in range(_POINTS):
        theirs = _value(expression, point)
        stated = None if number is None or expression.free_symbols else complex(float(number))
        readings = [ours for ours in (value_at(gold, point), stated) if ours is not None]
        if theirs is None or not readings:
            return None
        if not any(_close(ours, theirs) or _close(ours.conjugate(), theirs) for ours in readings):
            return (
                f"gold answer {gold!r} has two readings: {expression} by math-verify ({_shown(theirs)}), and one that "
                f"is worth {_shown(readings[0])}: write it with brackets, or in TeX"
            )[:1_000]
    return None


def _close(ours: complex, theirs: complex) -> bool:
    return abs(ours - theirs) <= 1e-12 + 1e-6 * max(abs(ours), abs(theirs))


def _shown(value: complex) -> str:
    return f"{value:.6g}" if value.imag else f"{value.real:.6g}"


def _scalar(read: tuple[Any, ...]) -> Any:
    """The expression that was read, with decimals as fractions; None if it does not have a single value."""
    from sympy import Expr, Float, Rational, UnevaluatedExpr

    if not read or not isinstance(read[0], Expr) or read[0].has(UnevaluatedExpr):  # 50%
        return None
    return read[0].xreplace({number: Rational(str(number)) for number in read[0].atoms(Float)})


def _value(expression: Any, point: int) -> complex | None:
    """An expression's value with its letters' values at a point; None if it is not finite."""
    try:
        letters = {symbol: letter_value(symbol.name, point) for symbol in expression.free_symbols}
        value = complex(expression.evalf(15, subs=letters, chop=False))
    except Exception:  # SymPy raises errors of every kind
        return None
    return value if abs(value) < float("inf") else None


# --- the same?


def _same(wanted: tuple[Any, ...], found: tuple[Any, ...], precision: int) -> bool:
    """Whether two expressions have the same value."""
    from math_verify import verify

    wanted, found = _unwrapped(wanted, found)
    a, b = _scalar(wanted), _scalar(found)
    if a is not None and b is not None:
        if not a.free_symbols and not b.free_symbols and (near := _near(a, b, precision)) is not None:
            return near
        if _parted(a, b):
            return False
        wanted, found = (a, *wanted[1:]), (b, *found[1:])
    elif (told := _same_parts(wanted[0], found[0], precision)) is not None:
        return told
    elif (_is_set(wanted) and _is_pair(found)) or (_is_pair(wanted) and _is_set(found)):
        return False
    rounding = precision + max(_leading_zeros(wanted), _leading_zeros(found))
    return bool(verify(list(wanted), list(found), float_rounding=rounding, timeout_seconds=None))


def _is_set(read: tuple[Any, ...]) -> bool:
    r"""Whether it was written in braces: `\{1,2\}`, which is not a pair."""
    return str(read[-1]).lstrip().startswith("\\{")


def _is_pair(read: tuple[Any, ...]) -> bool:
    """Whether it was read as a pair or an interval: `(1,2)`."""
    from sympy import Interval, Tuple

    return isinstance(read[0], (Interval, Tuple))


def _unwrapped(wanted: tuple[Any, ...], found: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Both sides with `x = 5` reduced to 5, unless the two are equations of different letters."""
    from sympy import Eq

    named = {read[0].lhs for read in (wanted, found) if isinstance(read[0], Eq)}
    if len(named) != 1 or not next(iter(named)).is_Symbol:
        return wanted, found
    a, b = (read[0].rhs if isinstance(read[0], Eq) else read[0] for read in (wanted, found))
    return (a, *wanted[1:]), (b, *found[1:])


def _near(wanted: Any, found: Any, precision: int) -> bool | None:
    """Whether two numbers agree to `precision` digits; None if they are not real numbers."""
    wanted, found = _exact(wanted), _exact(found)
    if wanted.is_Rational and found.is_Rational:
        off, size = abs(wanted - found), abs(wanted)
    else:
        try:
            size, off = abs(wanted.evalf(40)), abs((wanted - found).evalf(40))
            if size < 1e-60:  # sin(pi), unevaluated, is only nearly 0
                size, off = abs(wanted.doit().evalf(40)), abs((wanted.doit() - found).evalf(40))
            if not (off.is_number and off.is_real and size.is_real):
                return None
        except Exception:  # SymPy raises errors of every kind
            return None
        off = off if off > size * 1e-30 else 0
    if not (off.is_finite if hasattr(off, "is_finite") else True) or not size.is_finite:
        return None
    return bool(off <= min(1, size) / 10**precision)


def _exact(number: Any) -> Any:
    """A whole number written as an expression, such as `2**1000` or `100!`, evaluated unless it is too long."""
    try:
        if number.is_integer and not number.is_Integer and abs(number.evalf(5)) < 10**5_000:
            worked_out = number.doit()
            return worked_out if worked_out.is_Integer else number
    except Exception:  # SymPy raises errors of every kind
        pass
    return number


def _same_parts(wanted: Any, found: Any, precision: int) -> bool | None:
    """Whether two finite sets of numbers, or two intervals, are the same; None if they are neither."""
    from sympy import FiniteSet, Interval

    if isinstance(wanted, Interval) and isinstance(found, Interval):
        if (wanted.left_open, wanted.right_open) != (found.left_open, found.right_open):
            return False
        ours, theirs = [wanted.start, wanted.end], [found.start, found.end]
    elif isinstance(wanted, FiniteSet) and isinstance(found, FiniteSet):
        if len(wanted) != len(found):
            return False
        ours, theirs = list(wanted), list(found)
    else:
        return None
    try:
        if isinstance(wanted, FiniteSet):
            ours, theirs = sorted(ours, key=float), sorted(theirs, key=float)
        near = [_near(a, b, precision) for a, b in zip(ours, theirs, strict=True)]
    except (TypeError, ValueError, AttributeError):  # not made of numbers
        return None
    return None if None in near else all(near)


def _parted(wanted: Any, found: Any) -> bool:
    """Whether two expressions have different values for the same values of their letters, so are not equal."""
    for point in range(_POINTS):
        a, b = _value(wanted, point), _value(found, point)
        if a is not None and b is not None and abs(a - b) > 1e-3 * max(abs(a), abs(b)):
            return True
    return False


def _leading_zeros(read: tuple[Any, ...]) -> int:
    """Number of leading zeros in the smallest decimal of an expression: they are not significant digits."""
    from sympy import Basic, Float

    floats = read[0].atoms(Float) if isinstance(read[0], Basic) else ()
    sizes = [abs(float(number)) for number in floats if number != 0]
    return max(0, -int(f"{min(sizes):e}".partition("e")[2])) if sizes else 0
