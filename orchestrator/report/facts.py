"""The contents of a run's page, as plain data. Knows no store, no file, no HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.comparison import Comparison
from orchestrator.health.curves.reading import StageCurves
from orchestrator.stats import pass_at_k
from orchestrator.types import Finding


@dataclass(frozen=True, slots=True)
class Answered:
    """One model's answer to a question."""

    text: str
    value: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with each model's answer, by label."""

    example_id: str
    question: str
    gold: str
    answers: Mapping[str, Answered]

    def right(self, model: str) -> bool:
        """Whether that model's answer is correct."""
        return self.answers[model].status == "correct"


@dataclass(frozen=True, slots=True)
class Training:
    """One training: its curves, and the findings on them."""

    curves: StageCurves
    chosen_why: str
    """Why the checkpoint of step `curves.chosen` was selected."""
    facts: tuple[tuple[str, str], ...]
    """Other facts worth a line: (name, value)."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The part of a sampling that a select stage kept."""

    stage: str
    rows: int
    questions: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """One sampling, with the number of correct draws of each question."""

    stage: str
    model: str
    draws: int
    """Per question."""
    temperature: float
    right: Mapping[str, int]
    """Number of correct draws by question id."""
    statuses: Mapping[str, int]
    majority: float | None
    """Share of questions whose most frequent answer is right, if measured."""
    selected: tuple[Selected, ...]

    @property
    def covered(self) -> int:
        """Number of questions with a correct draw."""
        return sum(n > 0 for n in self.right.values())

    @property
    def pass_at(self) -> dict[int, float]:
        """pass@k for k = 1, 2, 4, ... and for all draws."""
        ks = sorted({self.draws, *(2**i for i in range(self.draws.bit_length()) if 2**i < self.draws)})
        return {k: pass_at_k(list(self.right.values()), self.draws, k) for k in ks}


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage in the list of all stages."""

    name: str
    verb: str
    status: str
    reused: bool
    seconds: float | None
    key: str
    run_id: str


@dataclass(frozen=True, slots=True)
class About:
    """The contents common to the reports of all runs."""

    run_id: str
    experiment: str
    status: str
    error: str | None
    started: float
    """Seconds since 1970."""
    recipe: Mapping[str, Any]
    """As resolved, with all defaults filled in."""
    recipe_text: str
    versions: Mapping[str, str]
    commit: str | None
    comparison: Comparison
    also: tuple[Comparison, ...]
    """Comparisons on further splits."""
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The models' labels, in the recipe's order."""
        return tuple(m.label for m in self.comparison.models)


@dataclass(frozen=True, slots=True)
class RunFacts(About):
    """The contents of the page of a single-seed run."""

    statuses: Mapping[str, Mapping[str, int]]
    """For each model, the number of its answers by status."""
    asked: Sequence[Asked]
    """The questions that models are compared on, in the order of their split."""
    trainings: tuple[Training, ...]
    samplings: tuple[Sampling, ...]
    expected: Mapping[str, float]
    """Expected pass rate by question id (see `difficulty`); empty if unknown."""
    stages: tuple[StageFacts, ...]


@dataclass(frozen=True, slots=True)
class SeedFacts:
    """One of several seeds."""

    seed: int
    run_id: str
    status: str
    accuracies: Mapping[str, float]
    reported: bool
    """Whether it has its own report."""


@dataclass(frozen=True, slots=True)
class SeedsFacts(About):
    """The contents of the page of a run of several seeds."""

    seeds: tuple[SeedFacts, ...]
    steady: Mapping[str, Sequence[int]]
    """For each model with several seeds: the number of questions that none, one, two, ... all of its seeds solve."""
