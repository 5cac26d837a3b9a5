"""What every judge is: it says whether an extracted answer is the gold answer. It knows no model, format or file.

A judge never raises, whatever a model wrote: a gold answer that cannot be judged gives the status `error`, and
`check_gold` says so beforehand, while there is still time to fix the data.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from orchestrator.answers.libraries import installed
from orchestrator.answers.visible import visible
from orchestrator.types import FinishReason, Verdict

MAX_VALUE = 2_000
"""Characters of a verdict's value at most: it is for people and for comparing, the text itself is kept elsewhere."""


class BaseJudge(BaseModel):
    """Base of every judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1
    """Raised whenever the same settings would give other verdicts."""
    guarded: ClassVar[bool] = False
    """True: judging may never end, so it is done in a process that can be killed."""

    LIBRARIES: ClassVar[tuple[str, ...]] = ()
    """Libraries that decide verdicts, by their names on PyPI: their installed versions are part of every key."""

    type: str

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (nothing there), truncated (cut off before an answer) or error (bad gold)."""
        raise NotImplementedError

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged, None if it can."""
        raise NotImplementedError

    def written(self, number: str) -> str:
        """A number, whose decimals stand after a point, as this judge reads numbers in texts."""
        return number

    def in_words(self) -> str:
        """Its name and what it takes for right, in a few words: `numeric, within 1% of the gold answer`."""
        return self.type

    def prepare(self) -> None:
        """Load what judging needs, before the time of the first answer runs."""

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the verdicts, for a stage's key."""
        told = {"version": self.VERSION, **self.model_dump()}
        return told | ({"libraries": {name: installed(name) for name in self.LIBRARIES}} if self.LIBRARIES else {})


def nothing_extracted(finish_reason: FinishReason) -> Verdict:
    """The verdict where no answer was found: truncated if the completion was cut off, else unparsed."""
    return Verdict("truncated" if finish_reason == "length" else "unparsed")


def check_text(answer: str) -> str | None:
    """Why a gold answer cannot be compared as text, None if it can."""
    return None if visible(answer).strip() else "it is empty: write an answer or leave the row out"
