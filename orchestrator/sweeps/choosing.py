"""Trials side by side: which is the best, which are tied with it, and which of these to propose.

Trials answer the same questions, so each is compared with the best in a paired test, and p is corrected for the number
of trials (Holm). Trials whose difference from the best is not significant are tied with it: the data cannot tell them
apart. The best is proposed, unless one of these is clearly cheaper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.comparison import ComparedModel, Evaluated, ModelDifference, compare_evaluated

_CHEAPER = 2 / 3
"""A trial is cheaper than the best if it costs less than this fraction of it: timings are never quite the same."""
_AS_CHEAP = 1.1
"""Cheaper trials that cost up to this many times as much as the cheapest count as equally cheap."""


@dataclass(frozen=True, slots=True)
class Standings:
    """Complete trials, by number."""

    models: Mapping[int, ComparedModel]
    differences: Mapping[int, ModelDifference]
    """The difference from the best, for each of the other trials."""
    best: int
    """The trial with the highest accuracy; the first of several equal ones."""
    tied: frozenset[int]
    """The best trial and those tied with it."""
    taken: int
    """The best, unless some tied trials are cheaper: then the cheapest, or the most accurate of equally cheap ones."""


def standings(on: str, evaluated: Mapping[int, Evaluated], cost: Mapping[int, float]) -> Standings:
    """Compare at least one trial on a split; `cost` may be in any unit.

    Raises:
        InputError: an evaluation that cannot be read, or trials that were evaluated on different questions.
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
