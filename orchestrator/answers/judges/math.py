r"""The judge `math`: an expression that is worth the same is right, as math-verify sees it.

Plain notation is put into TeX first, and numbers are compared as numbers, near enough for their size. A gold answer is
read twice, by math-verify and by a reader of orch's own; where the two do not agree, nothing is judged by it.
math-verify is imported when the first answer is judged. Its own time limits rest on SIGALRM, which does nothing outside
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
from orchestrator.answers.plain_math import NotMathematicsError, as_tex
from orchestrator.answers.plain_value import letter_value, value_at
from orchestrator.answers.tex import plain_tex
from orchestrator.types import FinishReason, Verdict

_MAX_CHARS = 2_000
"""No answer is longer; the grammar takes a stack frame for each bracket."""
_POINTS = 3
_MORE_THAN_A_NUMBER = re.compile("[A-Za-z%=]")


class MathJudge(BaseJudge):
    r"""Right is an expression worth the same as the gold one: `\frac{1}{2}` for `0.5`, `x+1` for `1+x`."""

    VERSION: ClassVar[int] = 2
    guarded: ClassVar[bool] = True  # 9**9**9 is an expression

    type: Literal["math"] = "math"
    precision: int = Field(default=6, ge=0, le=15)
    """Digits to which numbers must agree: decimals, of a number below 1 significant digits."""

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no expression there), truncated (cut off before an answer) or error (bad gold)."""
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
        return Verdict("correct" if _same(wanted, found, self.precision) else "wrong", value)

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged, None if it may be: it is not parsed here, where nothing ends it."""
        if problem := check_text(answer):
            return problem
        if len(answer) > _MAX_CHARS:
            return f"it is longer than {_MAX_CHARS} characters: shorten it"
        try:
            as_tex(answer)
        except NotMathematicsError as why:
            if parse_number(answer) is None:
                return f"{why}: write it in TeX or plain notation (2*x, x^2), or set judge: {{type: exact}}"
        return None

    def prepare(self) -> None:
        """Import math-verify and SymPy, and let them build their tables: seconds, once."""
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limits are off
        self.judge(r"\frac{x}{2}", "0.5*x", "stop")


@lru_cache(maxsize=10_000)
def _read(text: str) -> tuple[Any, ...]:
    """What a text says: the expression and how it was written; empty if there is none."""
    if len(text) > _MAX_CHARS:
        return ()
    number = parse_number(text)
    if number is not None and not _MORE_THAN_A_NUMBER.search(plain_tex(text)):
        return (_rational(number), text)
    try:
        tex = as_tex(text)
    except NotMathematicsError:
        return () if number is None else (_rational(number), text)
    from math_verify import LatexExtractionConfig, parse

    # read as LaTeX alone: what math-verify does with plain expressions ends in SymPy's parse_expr, which is an eval
    latex = [LatexExtractionConfig(boxed_match_priority=0)]
    boxed: list[Any] = parse(f"\\boxed{{{tex}}}", latex, parsing_timeout=None)
    return tuple(boxed or parse(tex, latex, parsing_timeout=None))


def _rational(number: Any) -> Any:
    from sympy import Rational

    exact = Fraction(number)
    return Rational(exact.numerator, exact.denominator)


# --- a gold answer, read twice


@lru_cache(maxsize=10_000)
def _doubt(gold: str) -> str | None:
    """Two readings of a gold answer that do not agree, in words; None: they do, or there is only one."""
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
        if all(abs(ours - theirs) > 1e-12 + 1e-6 * max(abs(ours), abs(theirs)) for ours in readings):
            return (
                f"gold answer {gold!r} has two readings: {expression} by math-verify ({_shown(theirs)}), and one that "
                f"is worth {_shown(readings[0])}: write it with brackets, or in TeX"
            )[:1_000]
    return None


def _shown(value: complex) -> str:
    return f"{value:.6g}" if value.imag else f"{value.real:.6g}"


def _scalar(read: tuple[Any, ...]) -> Any:
    """The expression that was read, its decimals as fractions; None where it is none that has one value."""
    from sympy import Expr, Float, Rational, UnevaluatedExpr

    if not read or not isinstance(read[0], Expr) or read[0].has(UnevaluatedExpr):  # 50%
        return None
    return read[0].xreplace({number: Rational(str(number)) for number in read[0].atoms(Float)})


def _value(expression: Any, point: int) -> complex | None:
    """An expression's value where its letters have theirs; None where it has no finite one."""
    try:
        letters = {symbol: letter_value(symbol.name, point) for symbol in expression.free_symbols}
        value = complex(expression.evalf(15, subs=letters, chop=False))
    except Exception:  # SymPy's, of every kind
        return None
    return value if abs(value) < float("inf") else None


# --- the same?


def _same(wanted: tuple[Any, ...], found: tuple[Any, ...], precision: int) -> bool:
    """Whether an expression is worth what another is."""
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
    rounding = precision + max(_leading_zeros(wanted), _leading_zeros(found))
    return bool(verify(list(wanted), list(found), float_rounding=rounding, timeout_seconds=None))


def _unwrapped(wanted: tuple[Any, ...], found: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Of `x = 5` the 5, where the other side says nothing of another letter."""
    from sympy import Eq

    named = {read[0].lhs for read in (wanted, found) if isinstance(read[0], Eq)}
    if len(named) != 1 or not next(iter(named)).is_Symbol:
        return wanted, found
    a, b = (read[0].rhs if isinstance(read[0], Eq) else read[0] for read in (wanted, found))
    return (a, *wanted[1:]), (b, *found[1:])


def _near(wanted: Any, found: Any, precision: int) -> bool | None:
    """Whether two numbers agree to so many digits; None where they are no real numbers."""
    if wanted.is_Rational and found.is_Rational:
        off, size = abs(wanted - found), abs(wanted)
    else:
        try:
            size, off = abs(wanted.evalf(40)), abs((wanted - found).evalf(40))
            if size < 1e-60:  # sin(pi), as it stands, is only nearly 0
                size, off = abs(wanted.doit().evalf(40)), abs((wanted.doit() - found).evalf(40))
            if not (off.is_number and off.is_real and size.is_real):
                return None
        except Exception:  # SymPy's, of every kind
            return None
        off = off if off > size * 1e-30 else 0
    if not (off.is_finite if hasattr(off, "is_finite") else True) or not size.is_finite:
        return None
    return bool(off <= min(1, size) / 10**precision)


def _same_parts(wanted: Any, found: Any, precision: int) -> bool | None:
    """Whether two finite sets of numbers, or two intervals, are the same; None where they are no such."""
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
    except (TypeError, ValueError, AttributeError):  # not of numbers
        return None
    return None if None in near else all(near)


def _parted(wanted: Any, found: Any) -> bool:
    """Whether two expressions have unlike values where their letters have the same: then they are not the same."""
    for point in range(_POINTS):
        a, b = _value(wanted, point), _value(found, point)
        if a is not None and b is not None and abs(a - b) > 1e-3 * max(abs(a), abs(b)):
            return True
    return False


def _leading_zeros(read: tuple[Any, ...]) -> int:
    """How many zeros the smallest decimal of an expression begins with: they are no digits of it."""
    from sympy import Basic, Float

    floats = read[0].atoms(Float) if isinstance(read[0], Basic) else ()
    sizes = [abs(float(number)) for number in floats if number != 0]
    return max(0, -int(f"{min(sizes):e}".partition("e")[2])) if sizes else 0
