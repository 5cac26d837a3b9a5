"""The judge `exact`: the same text is right."""

from typing import ClassVar, Literal

from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.answers.visible import visible
from orchestrator.types import FinishReason, Verdict


class ExactJudge(BaseJudge):
    """The same text, as a reader sees it, is right, whatever the white space between its words."""

    VERSION: ClassVar[int] = 2

    type: Literal["exact"] = "exact"
    casefold: bool = False
    """True: upper and lower case count as the same."""

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no text), truncated (cut off before an answer) or error (bad gold answer)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        value = _joined(extracted)
        if not value:
            return Verdict("unparsed")
        if self.check_gold(gold) is not None:
            return Verdict("error", value)
        return Verdict("correct" if self._same(value) == self._same(_joined(gold)) else "wrong", value)

    def in_words(self) -> str:
        """Its name and criterion, including its treatment of case."""
        return f"exact, the gold answer's text{', in upper or lower case' if self.casefold else ''}"

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it can."""
        return check_text(answer)

    def _same(self, text: str) -> str:
        return visible(text.casefold()) if self.casefold else text


def _joined(text: str) -> str:
    return " ".join(visible(text).split())
