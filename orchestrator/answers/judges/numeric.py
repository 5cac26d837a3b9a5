"""The judge `numeric`: a number near enough to the gold one is right."""

import math
from typing import ClassVar, Literal

from pydantic import Field

from orchestrator.answers.judges.base import BaseJudge, nothing_extracted
from orchestrator.answers.numbers import parse_number
from orchestrator.types import Answer, FinishReason, Verdict


class NumericJudge(BaseJudge):
    """Right is a number near enough to the gold one: |pred - gold| <= tolerance * |gold|, both rounded first."""

    VERSION: ClassVar[int] = 2

    type: Literal["numeric"] = "numeric"
    tolerance: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Relative to the gold answer: 0.05 takes 95 to 105 for 100. A gold answer of 0 is only met by 0."""
    decimals: int = Field(default=3, ge=0, le=15)
    """Both numbers are rounded to so many decimals before they are compared."""

    def judge(self, extracted: str | None, gold: Answer, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no number there), truncated (cut off before an answer) or error (bad gold)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        found = parse_number(extracted)
        if found is None:
            return Verdict("unparsed")
        # 15 digits write any number that was read from fewer as it stood, so equal answers have equal values.
        value = f"{found:.15g}"
        wanted = parse_number(gold) if isinstance(gold, str) else gold
        if wanted is None or not math.isfinite(wanted):
            return Verdict("error", value)
        decimals = self.decimals
        wanted = round(wanted, decimals)
        near = abs(round(found, decimals) - wanted) <= self.tolerance * abs(wanted)
        return Verdict("correct" if near else "wrong", value)

    def check_gold(self, answer: Answer) -> str | None:
        """Why this gold answer cannot be judged, None if it can."""
        number = parse_number(answer) if isinstance(answer, str) else answer
        if number is None:
            return "it is not a number: write it like 42, -1.5 or 3/4, or set judge: {type: exact}"
        if not math.isfinite(number):
            return "it is not a finite number: correct it or leave the row out"
        if number != 0 and round(number, self.decimals) == 0:
            return f"it is 0 when rounded to {self.decimals} decimals, where 0 would be right: raise judge.decimals"
        return None
