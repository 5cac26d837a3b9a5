"""Trials side by side: which is the best, which are tied with it, and which of these to take.

Trials answer the same questions, so each is tested against the best as a pair, and p is corrected for the number of
trials (Holm). Tied are those whose difference to the best is not significant: the data do not tell them apart, and the
cheapest of them is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.comparison import ComparedModel, Evaluated, ModelDifference, compare_evaluated

_AS_CHEAP = 1.1
"""Trials that cost up to so many times as much as the cheapest count as equally cheap: time is never the same twice."""


@dataclass(frozen=True, slots=True)
class Standings:
    """Trials that came to their end, by number."""

    models: Mapping[int, ComparedModel]
    differences: Mapping[int, ModelDifference]
    """Of each but the best to the best."""
    best: int
    """The highest accuracy; of equal ones the first."""
    tied: frozenset[int]
    """With it."""
    taken: int
    """Of the tied the cheapest; of those that are equally cheap the most accurate, then the first."""


def standings(on: str, evaluated: Mapping[int, Evaluated], cost: Mapping[int, float]) -> Standings:
    """Compare trials on a split; `cost` in whatever unit. There is one trial at least.

    Raises:
        InputError: an evaluation that cannot be read, or trials that were asked different questions.
    """
    plain = compare_evaluated(on, list(evaluated.values()), {})
    models = dict(zip(evaluated, plain.models, strict=True))
    best = max(models, key=lambda number: (models[number].accuracy, -number))
    others = {models[n].label: models[best].label for n in models if n != best}
    found = compare_evaluated(on, list(evaluated.values()), others).differences if others else ()
    differences = dict(zip((n for n in models if n != best), found, strict=True))
    tied = frozenset({best, *(number for number, d in differences.items() if not d.shown)})
    return Standings(models, differences, best, tied, _cheapest(sorted(tied), models, cost))


def _cheapest(tied: Sequence[int], models: Mapping[int, ComparedModel], cost: Mapping[int, float]) -> int:
    most = _AS_CHEAP * min(cost[number] for number in tied)
    cheap = [number for number in tied if cost[number] <= most]
    return max(cheap, key=lambda number: (models[number].accuracy, -number))
