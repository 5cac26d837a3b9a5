"""Did the judge miss right answers? Rejected completions whose last number is the gold answer are likely misses.

Only if gold answers are numbers, and only for a limited number of completions: an answer format that misses answers
shows among the first ones.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.answers.last_number import last_number
from orchestrator.answers.numbers import parse_number
from orchestrator.types import Finding

LOOKED_AT = 2000
"""Maximum number of rejected completions to look at."""
_FEW, _SHARE = 3, 0.1
"""Minimum number and share of likely misses for a finding."""
_SHOWN = 3
_END = 80
"""Number of characters to show of a completion's end."""


class Audit:
    """Looks at completions whose verdict is `wrong` or `unparsed`; `golds`: the gold answer of each question."""

    def __init__(self, golds: Mapping[str, str]) -> None:
        self._golds = {name: number for name, gold in golds.items() if (number := parse_number(gold)) is not None}
        self.looked_at = self.missed = 0
        self._shown: list[str] = []

    def add(self, table: pa.Table) -> None:
        """Look at these completions, up to the limit. Reads example_id, text, status and value."""
        left = LOOKED_AT - self.looked_at
        if left <= 0 or not self._golds:
            return
        rejected = table.filter(pc.is_in(table["status"], pa.array(["wrong", "unparsed"]))).slice(0, left)
        for row in rejected.select(["example_id", "text", "status", "value"]).to_pylist():
            gold = self._golds.get(row["example_id"])
            if gold is None:
                continue
            self.looked_at += 1
            found = last_number(row["text"])
            if found is None or parse_number(found[1]) != gold:
                continue
            self.missed += 1
            if len(self._shown) < _SHOWN:
                read = "nothing was read" if row["value"] is None else f"{row['value']!r} was read"
                self._shown.append(f"expected {gold}, {read}: it ends {row['text'][-_END:]!r}")

    def findings(self) -> tuple[Finding, ...]:
        """The finding that shows some of the likely misses; none if there are few."""
        if self.missed < max(_FEW, _SHARE * self.looked_at):
            return ()
        return (
            Finding(
                "judge-may-miss",
                "warning",
                f"{self.missed:,} of {self.looked_at:,} rejected completions end with the gold answer",
                "\n".join(self._shown),
                "the answer format does not find answers that a reader would accept, or the judge misreads them",
                "use the format in which the model writes its answers (task.format), or teach it this one with "
                "demonstrations; `orch rejudge` judges stored completions again",
            ),
        )
