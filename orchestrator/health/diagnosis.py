"""The result of a diagnosis: findings, the likeliest cause first, with material to check them by eye."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.health.curves.reading import StageCurves
from orchestrator.health.token_view import TokenView
from orchestrator.types import BASE, Finding

ALONE = "base without its adapter"
"""Name of the model that a recipe starts from, without the adapter it comes with."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion with everything a person needs to judge it."""

    model: str
    question: str
    prompt: str
    """The exact text the model read."""
    text: str
    parsed: str | None
    expected: str
    status: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's figures, from its evaluation or from questions asked now."""

    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    answer_rate: float
    n: int
    source: str
    """`evaluation` or `asked now`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of `orch diagnose`."""

    subject: str
    findings: tuple[Finding, ...]
    """The likeliest cause first."""
    models: tuple[Measured, ...]
    generations: tuple[Generation, ...]
    rows: tuple[TokenView, ...]
    """Training rows, token by token."""
    decoding: dict[str, Any]
    """The decoding settings of evaluation."""
    curves: tuple[StageCurves, ...] = ()
    """The curves of each training that logged any, with the readings from them."""

    @property
    def in_question(self) -> str | None:
        """The model that the first finding is about, else the last one; None if a stage failed first.

        It is a trained model if there is one: nothing is expected of the base model.
        """
        told = [finding for finding in self.findings if finding.severity != "info"]
        if told and told[0].check == "stage-failed":
            return None
        every = [model.model for model in self.models]
        names = [name for name in every if name not in (BASE, ALONE)] or every[:1]
        about = (_model_in(finding.what, names) for finding in told)
        return next((name for name in about if name is not None), names[-1] if names else None)

    @property
    def sick(self) -> bool:
        """Whether anything is wrong enough to explain wrong numbers."""
        return any(f.severity == "error" for f in self.findings)

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        return asdict(self)


def _model_in(text: str, names: Sequence[str]) -> str | None:
    """The model that a finding names as `model NAME`, `stage NAME` or `stage evaluate.NAME`."""
    named = re.search(r"\b(?:model|stage) (?:evaluate\.)?([\w-]+)", text)
    return named[1] if named is not None and named[1] in names else None
