"""The value of an expression in plain notation for given letters: an independent reading to check a library's against.

Operators bind as in every programming language: powers from the right, products and divisions from the left, an
implicit product (`2x`) like an explicit one. It must not know about SymPy, or what the value is compared with.
"""

import cmath
import hashlib
import math
from collections.abc import Callable

from orchestrator.answers.plain_math import (
    CONSTANTS,
    FUNCTIONS,
    NotMathematicsError,
    Token,
    letters_of,
    tokens,
    value_of_based,
)

_CALLED: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": cmath.log,
    "log": cmath.log10,
    **dict.fromkeys(("arcsin", "asin"), cmath.asin),
    **dict.fromkeys(("arccos", "acos"), cmath.acos),
    **dict.fromkeys(("arctan", "atan"), cmath.atan),
    "sqrt": cmath.sqrt,
    "cbrt": lambda x: x ** (1 / 3),
    "exp": cmath.exp,
    "abs": lambda x: complex(abs(x)),
}


def letter_value(name: str, point: int) -> float:
    """A letter's value at a point: arbitrary but always the same, between 0.2 and 0.9, where arcsin is defined."""
    digest = hashlib.sha256(f"{name} {point}".encode()).digest()
    return 0.2 + 0.7 * int.from_bytes(digest[:4], "big") / 2**32


def value_at(text: str, point: int) -> complex | None:
    """The value of an expression; None if this reader does not understand all of it, or the value is not finite."""
    try:
        reading = _Reading(tokens(text), point)
        value = reading.whole()
    except (NotMathematicsError, ArithmeticError, ValueError, RecursionError):
        return None
    return value if cmath.isfinite(value) else None


class _Reading:
    """A reading of one text, from left to right."""

    def __init__(self, parts: list[Token], point: int) -> None:
        self.parts, self.point, self.at = parts, point, 0

    def whole(self) -> complex:
        value = self._sum()
        if self._peek() != "":
            raise NotMathematicsError("unexpected text at the end")
        return value

    def _peek(self) -> str:
        """The next sign or word, skipping spaces; empty at the end."""
        while self.at < len(self.parts) and self.parts[self.at][0] == "space":
            self.at += 1
        return self.parts[self.at][1] if self.at < len(self.parts) else ""

    def _sum(self) -> complex:
        value = self._product()
        while (sign := self._peek()) in ("+", "-") and sign:
            self.at += 1
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> complex:
        value = self._signed()
        while sign := self._peek():
            kind = self.parts[self.at][0]
            if sign in ("*", "/"):
                self.at += 1
                other = self._signed()
                value = value * other if sign == "*" else value / other
            elif sign == "(" or kind in ("name", "number", "based", "scientific"):
                value *= self._power()
            else:
                break
        return value

    def _signed(self) -> complex:
        sign = self._peek()
        if sign in ("+", "-") and sign:
            self.at += 1
            value = self._signed()
            return -value if sign == "-" else value
        return self._power()

    def _power(self) -> complex:
        value = self._atom()
        while self._peek() == "!":
            self.at += 1
            value = complex(math.gamma(value.real + 1))
        if self._peek() in ("^", "**") and self.parts[self.at][0] == "power":
            self.at += 1
            value **= self._signed()
        return value

    def _atom(self) -> complex:
        text = self._peek()
        if not text:
            raise NotMathematicsError("something is missing at the end")
        kind, _ = self.parts[self.at]
        self.at += 1
        if kind == "number":
            return self._number(text)
        if kind == "scientific":
            return complex(float(text))
        if kind == "based":
            return complex(value_of_based(text))
        if text in ("(", "{"):
            return self._closed(")" if text == "(" else "}")
        if kind == "command" and text[1:] in CONSTANTS:
            return self._constant(text[1:])
        if kind != "name":
            raise NotMathematicsError(f"{text!r} is not supported here")
        return self._named(text)

    def _number(self, text: str) -> complex:
        """A number, possibly a mixed one such as `2 1/2`."""
        mixed = [kind for kind, _ in self.parts[self.at : self.at + 4]] == ["space", "number", "other", "number"]
        if mixed and self.parts[self.at + 2][1] == "/":
            above, below = self.parts[self.at + 1][1], self.parts[self.at + 3][1]
            self.at += 4
            return float(text) + complex(float(above) / float(below))
        return complex(float(text))

    def _closed(self, bracket: str) -> complex:
        value = self._sum()
        if self._peek() != bracket:
            raise NotMathematicsError("a bracket is never closed")
        self.at += 1
        return value

    def _named(self, text: str) -> complex:
        if text in CONSTANTS or text.lower() == "pi":
            return self._constant(text.lower())
        if text.lower() in ("sqrt", "cbrt", "exp", "abs") or text in FUNCTIONS:
            if self._peek() != "(":
                raise NotMathematicsError("a function without its brackets")
            self.at += 1
            return _CALLED[text if text in FUNCTIONS else text.lower()](self._closed(")"))
        letters = letters_of(text)
        indexed = [kind for kind, _ in self.parts[self.at : self.at + 1]] == ["number"]  # x1
        if letters is None or indexed or self._peek() == "_" or text.lower() in ("or", "and", "in"):
            raise NotMathematicsError(f"{text!r} is not supported here")
        first, *others = letters
        self.parts[self.at : self.at] = [("name", letter) for letter in others]
        if first == "e":
            return complex(math.e)
        if first == "i":
            return 1j
        if self._peek() == "(" and not others and first in "fgh":
            raise NotMathematicsError("an unknown function")
        return complex(letter_value(first, self.point))

    def _constant(self, name: str) -> complex:
        if name == "pi":
            return complex(math.pi)
        if name not in FUNCTIONS and name not in ("inf", "infinity", "oo"):
            return complex(letter_value(name, self.point))
        raise NotMathematicsError(f"{name!r} has no value")
