"""What a diagnosis tells: findings, the likeliest cause first, and what they can be checked against by eye."""

from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.token_view import TokenView
from orchestrator.types import Finding


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion with all that a person needs to judge it."""

    model: str
    question: str
    prompt: str
    """Exactly what the model read."""
    text: str
    parsed: str | None
    expected: str
    status: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's figures, from its evaluation or from the questions asked now."""

    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    answer_rate: float
    n: int
    source: str
    """`evaluation`, or `asked now`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `orch diagnose` ends with."""

    subject: str
    findings: tuple[Finding, ...]
    """The likeliest cause first."""
    models: tuple[Measured, ...]
    generations: tuple[Generation, ...]
    rows: tuple[TokenView, ...]
    """Training rows, token by token."""
    decoding: dict[str, Any]
    """The settings of evaluation."""
    curves: tuple[StageCurves, ...] = ()
    """Of each training that logged any, with what was read from them."""

    @property
    def sick(self) -> bool:
        """Is anything wrong enough to explain wrong numbers?"""
        return any(f.severity == "error" for f in self.findings)

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)
