"""Right answers that the judge missed."""

from typing import Any

import pyarrow as pa
import pytest

from orchestrator.sampling import audit as module
from orchestrator.sampling.audit import Audit


def rows(*texts: tuple[str, str, str | None]) -> pa.Table:
    """Completions of q0, q1, ...: text, status and extracted value."""
    found: list[dict[str, Any]] = [
        {"example_id": f"q{n}", "text": text, "status": status, "value": value}
        for n, (text, status, value) in enumerate(texts)
    ]
    return pa.Table.from_pylist(found)


def golds(n: int) -> dict[str, str]:
    return {f"q{number}": str(10 * number) for number in range(n)}


def test_rejected_completions_that_end_with_the_gold_answer_are_shown() -> None:
    audit = Audit(golds(5))
    audit.add(
        rows(
            ("so that is 0 apples", "unparsed", None),
            ("5 + 5 = 10.0", "wrong", "5"),
            ("it is 20 dollars", "unparsed", None),
            ("30", "correct", "30"),
            ("40 of 50", "wrong", "50"),
        )
    )
    assert (audit.missed, audit.looked_at) == (3, 4)
    [found] = audit.findings()
    assert found.what == "3 of 4 rejected completions end with the gold answer"
    assert "expected 0, nothing was read: it ends 'so that is 0 apples'" in found.evidence
    assert "expected 10, '5' was read" in found.evidence


def test_a_few_of_many_are_chance() -> None:
    audit = Audit(golds(100))
    audit.add(rows(*((f"is {10 * n if n < 5 else 7}", "wrong", "7") for n in range(100))))
    assert audit.missed == 5 and audit.findings() == ()


def test_only_so_many_are_looked_at_and_only_for_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 3)
    audit = Audit(golds(9))
    for _ in range(2):
        audit.add(rows(*((f"{10 * n}", "unparsed", None) for n in range(2))))
    assert audit.looked_at == 3
    words = Audit({"q0": "yes", "q1": "no"})
    words.add(rows(("yes", "unparsed", None), ("no", "unparsed", None)))
    assert words.looked_at == 0 and words.findings() == ()
