"""The judge `sequence`: the same items in the same order are right, however they are separated."""

from typing import Literal

from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.types import FinishReason, Verdict

_BRACKETS = frozenset("()[]{}<>")
_AROUND = (("[", "]"), ("(", ")"))


class SequenceJudge(BaseJudge):
    """The gold answer's items in the same order are right: `[1, 2, 3]`, `(1,2,3)` and `1 2 3` are equal."""

    type: Literal["sequence"] = "sequence"
    by: Literal["item", "character"] = "item"
    """The unit of comparison: items separated by white space or commas, or single characters other than these."""

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no item), truncated (cut off before an answer) or error (bad gold answer)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        found = self._items(extracted)
        if not found:
            return Verdict("unparsed")
        value = " ".join(found)
        if self.check_gold(gold) is not None:
            return Verdict("error", value)
        return Verdict("correct" if found == self._items(gold) else "wrong", value)

    def in_words(self) -> str:
        """Its name and criterion, including the unit of comparison."""
        return f"sequence, the gold answer's {self.by}s in order"

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it can."""
        if problem := check_text(answer):
            return problem
        return None if self._items(answer) else "it has no items: write them like 1, 2, 3"

    def _items(self, text: str) -> list[str]:
        if self.by == "character":
            return list("".join(text.replace(",", " ").split()))
        text = text.strip()
        inner = _split(text[1:-1]) if (text[:1], text[-1:]) in _AROUND else []
        # if brackets are items themselves, so are those at either end
        if inner and not any(_BRACKETS.issuperset(item) for item in inner):
            return inner
        return _split(text)


def _split(text: str) -> list[str]:
    return text.replace(",", " ").split()
