"""The base of judges, which decide whether an extracted answer is the gold answer. It knows no model, format or file.

A judge never raises, whatever a model wrote: a gold answer that cannot be judged gives the status `error`, and
`check_gold` reports it beforehand, while there is still time to fix the data.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from orchestrator.answers.libraries import installed
from orchestrator.answers.visible import visible
from orchestrator.types import FinishReason, Verdict

MAX_VALUE = 2_000
"""Maximum number of characters in a verdict's value: it is for display and comparison; the text is kept elsewhere."""


class BaseJudge(BaseModel):
    """Base class of every judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1
    """Incremented whenever the same settings would give different verdicts."""
    guarded: ClassVar[bool] = False
    """True: judging may never end, so it runs in a process that can be killed."""

    LIBRARIES: ClassVar[tuple[str, ...]] = ()
    """Libraries that affect verdicts, by their names on PyPI: their installed versions are part of every key."""

    type: str

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (no answer), truncated (cut off before an answer) or error (bad gold answer)."""
        raise NotImplementedError

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it can."""
        raise NotImplementedError

    def written(self, number: str) -> str:
        """A number, given with a decimal point, in the notation this judge reads."""
        return number

    def in_words(self) -> str:
        """Its name and criterion, in a few words: `numeric, within 1% of the gold answer`."""
        return self.type

    def prepare(self) -> None:
        """Load whatever judging needs, before the time limit of the first answer starts."""

    def fingerprint(self) -> dict[str, Any]:
        """Everything that determines the verdicts, for a stage's key."""
        told = {"version": self.VERSION, **self.model_dump()}
        return told | ({"libraries": {name: installed(name) for name in self.LIBRARIES}} if self.LIBRARIES else {})


def nothing_extracted(finish_reason: FinishReason) -> Verdict:
    """The verdict if no answer was found: truncated if the completion was cut off, else unparsed."""
    return Verdict("truncated" if finish_reason == "length" else "unparsed")


def check_text(answer: str) -> str | None:
    """Why a gold answer cannot be compared as text; None if it can."""
    return None if visible(answer).strip() else "it is empty: write an answer or leave the row out"
