"""What the page of a run tells, as plain data. Knows no store, no file, no HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.comparison import Comparison
from orchestrator.health.curves.reading import StageCurves
from orchestrator.stats import pass_at_k
from orchestrator.types import Finding


@dataclass(frozen=True, slots=True)
class Answered:
    """What one model made of a question."""

    text: str
    value: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what each model answered, by label."""

    example_id: str
    question: str
    gold: str
    answers: Mapping[str, Answered]

    def right(self, model: str) -> bool:
        """Whether that model's answer is correct."""
        return self.answers[model].status == "correct"


@dataclass(frozen=True, slots=True)
class Training:
    """One training: its curves, and what was read from them."""

    curves: StageCurves
    chosen_why: str
    """Why the checkpoint was selected that `curves.chosen` names."""
    facts: tuple[tuple[str, str], ...]
    """What else is worth a line: (name, value)."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a select stage kept of a sampling."""

    stage: str
    rows: int
    questions: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """One sampling: how many of each question's draws were correct."""

    stage: str
    model: str
    draws: int
    """For each question."""
    temperature: float
    right: Mapping[str, int]
    """For each question's id: its correct draws."""
    statuses: Mapping[str, int]
    majority: float | None
    """Share of questions whose most frequent answer is right, where that was measured."""
    selected: tuple[Selected, ...]

    @property
    def covered(self) -> int:
        """How many questions have a correct draw."""
        return sum(n > 0 for n in self.right.values())

    @property
    def pass_at(self) -> dict[int, float]:
        """pass@k for k = 1, 2, 4, ... and all draws."""
        ks = sorted({self.draws, *(2**i for i in range(self.draws.bit_length()) if 2**i < self.draws)})
        return {k: pass_at_k(list(self.right.values()), self.draws, k) for k in ks}


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage in the list of all."""

    name: str
    verb: str
    status: str
    reused: bool
    seconds: float | None
    key: str
    run_id: str


@dataclass(frozen=True, slots=True)
class About:
    """What every report tells of its run."""

    run_id: str
    experiment: str
    status: str
    error: str | None
    started: float
    """Seconds since 1970."""
    recipe: Mapping[str, Any]
    """As it was resolved, every default written out."""
    recipe_text: str
    versions: Mapping[str, str]
    commit: str | None
    comparison: Comparison
    also: tuple[Comparison, ...]
    """On further splits."""
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The models, in the recipe's order."""
        return tuple(m.label for m in self.comparison.models)


@dataclass(frozen=True, slots=True)
class RunFacts(About):
    """All that the page of a run of one seed tells."""

    statuses: Mapping[str, Mapping[str, int]]
    """For each model: how many of its answers have each status."""
    asked: Sequence[Asked]
    """The questions that models are compared on, in the order of their split."""
    trainings: tuple[Training, ...]
    samplings: tuple[Sampling, ...]
    expected: Mapping[str, float]
    """For each question's id how hard it should be: see `difficulty`; empty where nothing is known."""
    stages: tuple[StageFacts, ...]


@dataclass(frozen=True, slots=True)
class SeedFacts:
    """One of several seeds."""

    seed: int
    run_id: str
    status: str
    accuracies: Mapping[str, float]
    reported: bool
    """Whether it has a report of its own."""


@dataclass(frozen=True, slots=True)
class SeedsFacts(About):
    """All that the page of a run of several seeds tells."""

    seeds: tuple[SeedFacts, ...]
    steady: Mapping[str, Sequence[int]]
    """For each model of several seeds: how many questions none of its seeds solves, one, two, ... all."""
