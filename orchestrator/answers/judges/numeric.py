"""The judge `numeric`: a number close enough to the gold answer is right. Comparisons are exact, without floats."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.answers.judges.base import BaseJudge, nothing_extracted
from orchestrator.answers.numbers import EXACT, Number, number_text, parse_number
from orchestrator.types import FinishReason, Verdict, answer_text

_MOST_DECIMALS = 15
_UNITS = [Decimal(1).scaleb(-decimals) for decimals in range(_MOST_DECIMALS + 1)]
_ROUNDING = Context(prec=EXACT.prec, rounding=ROUND_HALF_EVEN, traps=[])


class NumericJudge(BaseJudge):
    """A number close enough to the gold answer is right: |answer - gold| <= tolerance * |gold|."""

    VERSION: ClassVar[int] = 3

    type: Literal["numeric"] = "numeric"
    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Relative to the gold answer: 0.05 accepts 95 to 105 for 100. A gold answer of 0 is matched only by 0.

    None: chosen to fit the task's gold answers; 0 if they have not been examined.
    """
    decimals: int | None = Field(default=None, ge=0, le=_MOST_DECIMALS)
    """Decimal places to which both numbers are rounded before they are compared; None: they are not rounded."""
    decimal_comma: bool = False
    """True: `12,5` is 12.5 and `1.234` is 1234, both in answers and in gold answers."""

    @field_validator("tolerance")
    @classmethod
    def _tells_numbers_apart(cls, value: float | None) -> float | None:
        if value is not None and value >= 1:
            raise ValueError(
                f"{value:g} is {value:.0%} of the gold answer, so 0 would always be right: write a fraction below 1, "
                "such as 0.05 for 5%"
            )
        return value

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no number), truncated (cut off before an answer) or error (bad gold answer)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        found = parse_number(extracted, self.decimal_comma)
        if found is None:
            return Verdict("unparsed")
        right = _right_answers(gold, self.tolerance, self.decimals, self.decimal_comma)
        if right is None:
            return Verdict("error", number_text(found))
        value = number_text(found)
        if self.decimals is not None:
            found = _rounded(found, self.decimals)
        return Verdict("correct" if right[0] <= found <= right[1] else "wrong", value)

    def written(self, number: str) -> str:
        """The number with a decimal comma, if numbers are read that way: 1.234 would be 1234."""
        return number.replace(".", ",") if self.decimal_comma else number

    def in_words(self) -> str:
        """Its name and criterion, including tolerance and rounding."""
        near = f"within {100 * self.tolerance:g}% of" if self.tolerance else "equal to"
        places = f", both rounded to {self.decimals} decimal{'' if self.decimals == 1 else 's'}"
        rounded = "" if self.decimals is None else places
        return f"numeric, {near} the gold answer{rounded}{', with decimal commas' if self.decimal_comma else ''}"

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it can."""
        number = parse_number(answer_text(answer), self.decimal_comma)
        if number is None:
            return _why_not(answer, self.decimal_comma)
        if self.decimals is not None and number != 0 and _rounded(number, self.decimals) == 0:
            return f"it is 0 when rounded to {self.decimals} decimals, so 0 would be right: raise judge.decimals"
        return None


@lru_cache(maxsize=100_000)
def _right_answers(
    gold: str, tolerance: float | None, decimals: int | None, decimal_comma: bool
) -> tuple[Number, Number] | None:
    """The smallest and the largest right answer; None if the gold answer is not a number. Cached: questions recur."""
    number = parse_number(answer_text(gold), decimal_comma)
    if number is None:
        return None
    if decimals is not None:
        number = _rounded(number, decimals)
    if not tolerance:
        return number, number
    share = Decimal(repr(tolerance))  # as written: 0.05 is a twentieth, which no float is
    if isinstance(number, Decimal):
        off = EXACT.multiply(share, number.copy_abs())
        return EXACT.subtract(number, off), EXACT.add(number, off)
    part = Fraction(share) * abs(number)
    return number - part, number + part


def _rounded(number: Number, decimals: int) -> Decimal:
    """A number rounded to `decimals` places; ties are broken as Python's `round` does for the nearest float."""
    unit = _UNITS[decimals]
    if not isinstance(number, Decimal):  # in this order: isinstance takes ten times longer with Fraction
        return EXACT.multiply(Decimal(round(number * 10**decimals)), unit)
    rounded = number.quantize(unit, None, _ROUNDING)  # positional: keyword arguments take twice as long
    if rounded == number:
        return rounded
    off = EXACT.subtract(number, rounded)
    if EXACT.multiply(off.copy_abs(), Decimal(2)) != unit:
        return rounded
    nearest = Decimal(float(number))
    if nearest == number or (nearest > number) == (rounded > number):
        return rounded
    return EXACT.add(rounded, unit if off > 0 else -unit)


def _why_not(gold: str, decimal_comma: bool) -> str:
    if not decimal_comma and parse_number(gold, decimal_comma=True) is not None:
        return (
            "it has a decimal comma, or commas that separate no thousands: if all gold answers are like this, set "
            "judge.decimal_comma: true; otherwise write it with a decimal point"
        )
    return "it is not a number: write it like 42, -1.5 or 3/4, or set judge: {type: exact}"
