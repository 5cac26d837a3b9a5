"""Judges: whether an extracted answer is the gold answer. They must not know a model, an answer format or a file.

A judge never raises, whatever a model wrote: a gold answer that cannot be judged gives the status `error`, and
`check_gold` says so beforehand, while there is still time to mend the data.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from orchestrator.answers.numbers import format_number, parse_number
from orchestrator.types import Answer, FinishReason, Verdict


class NumericJudge(BaseModel):
    """Right is a number near enough to the gold one: |pred - gold| <= tolerance * |gold|, both rounded first."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1

    type: Literal["numeric"] = "numeric"
    tolerance: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Relative to the gold answer: 0.05 takes 95 to 105 for 100. A gold answer of 0 is only met by 0."""
    decimals: int = Field(default=3, ge=0, le=15)
    """Both numbers are rounded to so many decimals before they are compared."""

    def judge(self, extracted: str | None, gold: Answer, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no number there), truncated (cut off before an answer) or error (bad gold)."""
        if extracted is None:
            return _nothing_extracted(finish_reason)
        found = parse_number(extracted)
        if found is None:
            return Verdict("unparsed")
        # 15 digits write any number that was read from fewer as it stood, so equal answers have equal values.
        value = f"{found:.15g}"
        wanted = parse_number(gold) if isinstance(gold, str) else gold
        if wanted is None or not math.isfinite(wanted):
            return Verdict("error", value)
        wanted = round(wanted, self.decimals)
        near = abs(round(found, self.decimals) - wanted) <= self.tolerance * abs(wanted)
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

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the verdicts, for a stage's key."""
        return {"version": self.VERSION, **self.model_dump()}


class ExactJudge(BaseModel):
    """Right is the same text, whatever the white space between its words."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1

    type: Literal["exact"] = "exact"
    casefold: bool = False
    """True: upper and lower case are the same."""

    def judge(self, extracted: str | None, gold: Answer, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (nothing there), truncated (cut off before an answer) or error (bad gold)."""
        if extracted is None:
            return _nothing_extracted(finish_reason)
        value = " ".join(extracted.split())
        if not value:
            return Verdict("unparsed")
        if self.check_gold(gold) is not None:
            return Verdict("error", value)
        return Verdict("correct" if self._same(value) == self._same(_as_text(gold)) else "wrong", value)

    def check_gold(self, answer: Answer) -> str | None:
        """Why this gold answer cannot be judged, None if it can."""
        if isinstance(answer, str):
            return None if answer.strip() else "it is empty: write an answer or leave the row out"
        if not math.isfinite(answer):
            return "it is not a finite number: correct it or leave the row out"
        # A number that models are shown with fewer digits than it has would make its own demonstration wrong.
        if float(format_number(answer)) != answer:
            short = format_number(answer)
            return f"it would be written as {short}: put it in quotes, or set judge: {{type: numeric}}"
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the verdicts, for a stage's key."""
        return {"version": self.VERSION, **self.model_dump()}

    def _same(self, text: str) -> str:
        joined = " ".join(text.split())
        return joined.casefold() if self.casefold else joined


JUDGES: dict[str, type[NumericJudge] | type[ExactJudge]] = {
    "numeric": NumericJudge,
    "exact": ExactJudge,
}


def _type_of(judge: Any) -> Any:
    return judge.get("type", "numeric") if isinstance(judge, dict) else getattr(judge, "type", None)


Judge = Annotated[
    Annotated[NumericJudge, Tag("numeric")] | Annotated[ExactJudge, Tag("exact")],
    Discriminator(_type_of),
]
"""Any judge as a recipe writes it: `{tolerance: 0.01}`, `{type: exact, casefold: true}`; without a type: numeric."""


def _nothing_extracted(finish_reason: FinishReason) -> Verdict:
    return Verdict("truncated" if finish_reason == "length" else "unparsed")


def _as_text(gold: Answer) -> str:
    return gold if isinstance(gold, str) else format_number(gold)
