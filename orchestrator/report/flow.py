"""How the result of each question changes from one model to another. Knows no page and no figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from orchestrator.comparison.baseline import makes_baseline
from orchestrator.report.facts import Asked

KINDS = ("fixed", "broken", "kept", "missed")
WORDS = {
    "fixed": "fixed: wrong before, right after",
    "broken": "broken: right before, wrong after",
    "kept": "both right",
    "missed": "both wrong",
}


def kind(before: bool, after: bool) -> str:
    """The kind of a question, by whether the first and the second model have it right."""
    return ("kept" if after else "broken") if before else ("fixed" if after else "missed")


@dataclass(frozen=True, slots=True)
class Flow:
    """From one model to another: the number of questions fixed, broken, kept and missed."""

    before: str
    after: str
    fixed: int
    broken: int
    kept: int
    missed: int

    @property
    def n(self) -> int:
        """Number of all questions."""
        return self.fixed + self.broken + self.kept + self.missed

    def count(self, name: str) -> int:
        """Number of questions of one of KINDS."""
        return int(getattr(self, name))


def flow(asked: Sequence[Asked], before: str, after: str) -> Flow:
    """Count the questions of each kind."""
    counts = dict.fromkeys(KINDS, 0)
    for one in asked:
        counts[kind(one.right(before), one.right(after))] += 1
    return Flow(before, after, **counts)


def flows(asked: Sequence[Asked], labels: Sequence[str]) -> list[Flow]:
    """The flow of each pair of models, from the earlier one in the recipe to the later."""
    return [flow(asked, before, after) for before, after in combinations(labels, 2)]


def first_pair(recipe: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, str] | None:
    """The pair shown first: the first SFT model and the first model trained on selected completions.

    If the recipe has no such pair: the first two trained models, or else the first two models. None: there is only one
    model.
    """
    stages = recipe["stages"]
    tuned = [label for label in labels if makes_baseline(stages.get(label, {}).get("type", ""))]
    selected = [label for label in tuned if any(d in stages for d in _listed(stages[label].get("data", ())))]
    plain = [label for label in tuned if label not in selected]
    if plain and selected:
        return plain[0], selected[0]
    trained = [label for label in labels if label in stages]
    pair = (trained if len(trained) > 1 else list(labels))[:2]
    return (pair[0], pair[1]) if len(pair) == 2 else None


def _listed(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else tuple(value)


def in_turns(asked: Sequence[Asked], pair: tuple[str, str] | None) -> list[Asked]:
    """The questions, alternating between kinds, so that even the first few include some of each."""
    if pair is None:
        return list(asked)
    groups: dict[str, list[Asked]] = {name: [] for name in KINDS}
    for one in asked:
        groups[kind(one.right(pair[0]), one.right(pair[1]))].append(one)
    ordered = []
    for turn in range(max(map(len, groups.values()), default=0)):
        ordered += [group[turn] for group in groups.values() if turn < len(group)]
    return ordered
