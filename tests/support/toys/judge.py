"""`last_digit`: an answer is right if its last digit is the gold answer's. One file is all a judge needs."""

from typing import Literal

from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.types import FinishReason, Verdict


class LastDigitJudge(BaseJudge):
    """Compares last digits."""

    type: Literal["last_digit"] = "last_digit"

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed or truncated."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        digits = [sign for sign in extracted if sign.isdigit()]
        if not digits:
            return Verdict("unparsed")
        return Verdict("correct" if digits[-1] == gold.strip()[-1:] else "wrong", digits[-1])

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged, None if it can."""
        return check_text(answer) or (None if answer.strip()[-1].isdigit() else "it ends in no digit")
