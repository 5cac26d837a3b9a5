"""Trials side by side: which is the best, which are tied with it, and which of these to take.

Trials answer the same questions, so each is tested against the best as a pair, and p is corrected for the number of
trials (Holm). Tied are those whose difference to the best is not significant: the data do not tell them apart. The
best is taken, unless one of these is clearly cheaper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.comparison import ComparedModel, Evaluated, ModelDifference, compare_evaluated

_CHEAPER = 2 / 3
"""A trial is cheaper than the best where it costs less than so much of it: time is never the same twice."""
_AS_CHEAP = 1.1
"""Of cheaper trials those that cost up to so many times as much as the cheapest count as equally cheap."""


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
    """The best, unless some of the tied are cheaper; of these the cheapest, of equally cheap ones the most accurate."""


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
    return Standings(models, differences, best, tied, _taken(best, sorted(tied), models, cost))


def _taken(best: int, tied: Sequence[int], models: Mapping[int, ComparedModel], cost: Mapping[int, float]) -> int:
    cheaper = [number for number in tied if cost[number] < _CHEAPER * cost[best]]
    if not cheaper:
        return best
    most = _AS_CHEAP * min(cost[number] for number in cheaper)
    return max((n for n in cheaper if cost[n] <= most), key=lambda n: (models[n].accuracy, -n))
