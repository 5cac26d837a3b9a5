"""The equations in a worked solution, such as `48 / 2 = 24`, and whether each of them holds.

Two solutions with the same equations in the same order take the same path, however they are worded. Only a plain
calculation with numbers on both sides counts as an equation here: not algebra, not a result that continues in words,
not half of a longer expression. So an equation found not to hold is wrong, and hardly ever misread. No text is
executed: an expression is parsed into a syntax tree, and only sums, differences, products, quotients and small powers
of numbers are evaluated.

If a solution marks its equations as GSM8K does (`<<48/2=24>>`), these marks count; otherwise its equal signs do.

Source of the idea: Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with Large Language
Models" (arXiv 2308.01825), which keeps distinct lists of equations and drops paths whose calculations do not hold.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_MARKED = re.compile(r"<<([^<>\n]{1,200})>>")
_SIDE = 200
"""Maximum number of characters examined on either side of an equal sign."""
_TERM = r"[\d.,$%()+\-*/^ \t]"
_LEFT = re.compile(rf"{_TERM}*$")
_RIGHT = re.compile(rf"{_TERM}*")
_CLAUSE_END = re.compile(r"[.,;:](?:\s|$)")
_BULLET = re.compile(r"\s*(?:[-*+]\s+|\d+[.)]\s+|\(\d+\)\s+)")
_FACTOR = re.compile(r"(?:^|\s)x\s*$")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_TIMES = re.compile(r"(?<=\d)x(?=\d)|(?<=[\d)%] )x(?= [\d($])")
_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")
_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "\u00a0": " "})
_NUMBER = re.compile(r"-?(?:\d+(?:\.(\d+))?|\.(\d+))(%?)")
_HIGHEST = 12
"""Largest absolute value of an exponent."""
_MOST_DIGITS = 60
"""Maximum number of digits in the base of a power."""


@dataclass(frozen=True, slots=True)
class Equation:
    """An expression and the result that a text gives for it, both without spaces: `48/2=24`."""

    text: str
    holds: bool
    """Whether the result is right; it may be rounded, that is, off by less than one in its last written place."""


def equations(text: str) -> tuple[Equation, ...]:
    """The equations of a worked solution, in order."""
    marked = _MARKED.findall(text)
    if marked:
        found = (_read(left, right) for mark in marked for left, right in [_plain(mark).rpartition("=")[::2]])
    else:
        found = (one for line in _plain(text).splitlines() for one in _of_line(line))
    return tuple(one for one in found if one is not None)


def _plain(text: str) -> str:
    signs = _THOUSANDS.sub("", text.translate(_SIGNS))
    return _TIMES.sub("*", signs)


def _of_line(line: str) -> Iterator[Equation | None]:
    """The equations of a line, clause by clause: `3*5=15, 4*2=8`."""
    start = bullet.end() if (bullet := _BULLET.match(line)) else 0
    for clause in _CLAUSE_END.split(line[start:]):
        for sign in re.finditer("=", clause):
            before, after = clause[: sign.start()][-_SIDE:], clause[sign.end() :][:_SIDE]
            left, right = _LEFT.search(before), _RIGHT.match(after)
            assert left is not None and right is not None
            yield _read(_expression(left[0], before[: left.start()]), _result(right[0], after[right.end() :]))


def _expression(side: str, before: str) -> str:
    """The left side; empty if it is the tail of something longer: `5 pages + 2 * 3`, `60 pages x 2/3`, `6:00 + 48`."""
    expression = side.strip()
    if side[:1] == expression[:1] and (before[-1:].isalnum() or before[-1:] in (":", "_")):
        return ""
    if _FACTOR.search(before):
        return ""
    if expression[:1] in ("+", "-") and before.strip():
        return ""
    while expression.count("(") > expression.count(")") and expression.startswith("("):
        expression = expression[1:].lstrip()
    return expression


def _result(side: str, after: str) -> str:
    """The right side; empty if it continues as something else: `24 - x`, `2x`."""
    result = side.rstrip(" \t.$(")
    if result[-1:] in ("+", "-", "*", "/", "^") or (side == result and after[:1].isalnum()):
        return ""
    return result if result.count("(") == result.count(")") else result.rstrip(")")


def _read(left: str, right: str) -> Equation | None:
    """An equation; None if a side is not a calculation. The left side must have an operator between numbers."""
    if not re.search(r"[\d)%]\s*[-+*/^]", left):
        return None
    ours, theirs = _value(left), _value(right)
    if theirs is None or (ours is None and not _divides_by_zero(left)):
        return None
    text, off = re.sub(r"[\s$]", "", f"{left}={right}"), _place(right)
    holds = ours is not None and abs(ours - theirs) < off
    if ours is not None and right.rstrip().endswith("%"):  # `100 - 60 = 40%` counts in percent on both sides
        holds = holds or abs(ours - 100 * theirs) < 100 * off
    return Equation(text, holds)


def _place(result: str) -> Fraction:
    """The bound on a result's error: one in its last place; a result that is itself an expression must be exact."""
    number = _NUMBER.fullmatch(re.sub(r"[\s$]", "", result))
    if number is None:
        return Fraction(1, 10**9)
    place = Fraction(1, 10 ** len(number[1] or number[2] or ""))
    return place / 100 if number[3] else place


def _tree(side: str) -> ast.expr | None:
    expression = _PERCENT.sub(r"(\1/100)", side.replace("$", "")).replace("^", "**").strip()
    try:
        return ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _value(side: str) -> Fraction | None:
    tree = _tree(side)
    try:
        return None if tree is None else _worked_out(tree)
    except (ValueError, ZeroDivisionError, RecursionError):
        return None


def _divides_by_zero(side: str) -> bool:
    tree = _tree(side)
    try:
        if tree is not None:
            _worked_out(tree)
    except ZeroDivisionError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


def _worked_out(tree: ast.expr) -> Fraction:
    """An expression's value. Raises ValueError if it contains anything but numbers, or a power is too large."""
    match tree:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_worked_out(operand)
        case ast.BinOp(left=left, op=sign, right=right):
            a, b = _worked_out(left), _worked_out(right)
            match sign:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Div():
                    return a / b
                case ast.Pow() if b.denominator == 1 and abs(b) <= _HIGHEST and _digits(a) <= _MOST_DIGITS:
                    return a ** int(b)
    raise ValueError("not a calculation with numbers")


def _digits(number: Fraction) -> int:
    return len(str(number.numerator)) + len(str(number.denominator))
