"""What every judge is: it says whether an extracted answer is the gold answer. It knows no model, format or file.

A judge never raises, whatever a model wrote: a gold answer that cannot be judged gives the status `error`, and
`check_gold` says so beforehand, while there is still time to mend the data.
"""

import math
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from orchestrator.answers.numbers import format_number
from orchestrator.types import Answer, FinishReason, Verdict

MAX_VALUE = 2_000
"""Characters of a verdict's value at most: it is for people and for comparing, the text itself is kept elsewhere."""


class BaseJudge(BaseModel):
    """Base of every judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1
    """Raised whenever the same settings would give other verdicts."""
    guarded: ClassVar[bool] = False
    """True: judging may never end, so it is done in a process that can be killed."""

    type: str

    def judge(self, extracted: str | None, gold: Answer, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (nothing there), truncated (cut off before an answer) or error (bad gold)."""
        raise NotImplementedError

    def check_gold(self, answer: Answer) -> str | None:
        """Why this gold answer cannot be judged, None if it can."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Load what judging needs, before the time of the first answer runs."""

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the verdicts, for a stage's key."""
        return {"version": self.VERSION, **self.model_dump()}


def nothing_extracted(finish_reason: FinishReason) -> Verdict:
    """The verdict where no answer was found: truncated if the completion was cut off, else unparsed."""
    return Verdict("truncated" if finish_reason == "length" else "unparsed")


def as_text(gold: Answer) -> str:
    """A gold answer as models are shown it."""
    return gold if isinstance(gold, str) else format_number(gold)


def as_kept(gold: Answer) -> str:
    """A gold answer as results keep it: as models are shown it, where that loses no digit; it is judged alike again."""
    if isinstance(gold, str):
        return gold
    shown = format_number(gold) if math.isfinite(gold) else ""
    return shown if shown and float(shown) == gold else repr(gold)


def check_text(answer: Answer) -> str | None:
    """Why a gold answer cannot be compared as text, None if it can."""
    if isinstance(answer, str):
        return None if answer.strip() else "it is empty: write an answer or leave the row out"
    if not math.isfinite(answer):
        return "it is not a finite number: correct it or leave the row out"
    # A number that models are shown with fewer digits than it has would make its own demonstration wrong.
    if float(format_number(answer)) != answer:
        return f"it would be written as {format_number(answer)}: put it in quotes, or set judge: {{type: numeric}}"
    return None
