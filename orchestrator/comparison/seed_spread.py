"""How much the seed alone changes a model's accuracy, estimated from other runs of its recipe."""

from collections.abc import Mapping
from statistics import stdev

from orchestrator.comparison.groups import Variant
from orchestrator.comparison.past_models import PastModel, past_models, recipe_of, same_recipe
from orchestrator.errors import InputError
from orchestrator.recipe.plain import made_from
from orchestrator.store.base import StoredRun
from orchestrator.store.find import PastRuns

_ENOUGH = 3
"""Minimum number of seeds for a standard deviation to be reported."""
_LOOKED_AT = 50
"""Number of the experiment's newest runs that are searched."""


def seed_sds(past: PastRuns, labels: Mapping[str, Variant]) -> tuple[tuple[str, float, int], ...]:
    """For each label with one seed whose recipe also ran with others: (label, standard deviation, seeds).

    All accuracies are on the split that the labels' models were evaluated on, whatever the other recipes compare on.
    """
    single = {label: variant.models[0] for label, variant in labels.items() if len(variant.seeds) == 1}
    if not single:
        return ()
    on = next(iter(single.values())).on
    accuracies: dict[str, dict[int | None, float]] = {label: {} for label in single}
    for run in past.beside(next(iter(single.values())).above)[:_LOOKED_AT]:
        try:
            if not _tells(past, run, single, accuracies):
                continue
            others = past_models(past, run, on)
        except InputError:  # a run created by some other program
            continue
        for label, model in single.items():
            accuracies[label] |= {
                o.seed: o.accuracy for o in others if same_recipe(o, model) and o.accuracy is not None
            }
    known = ((label, list(found.values())) for label, found in accuracies.items())
    return tuple((label, stdev(found), len(found)) for label, found in known if len(found) >= _ENOUGH)


def _tells(
    past: PastRuns, run: StoredRun, single: Mapping[str, PastModel], known: Mapping[str, Mapping[int | None, float]]
) -> bool:
    """Whether a run may have one of these models with a seed not seen yet, according to its recipe."""
    recipe = recipe_of(past, run)
    seeds = recipe.get("seeds") or [recipe.get("seed", 0)]
    return any(
        set(seeds) - known[label].keys() and made_from(recipe, model.model) == model.made_from
        for label, model in single.items()
    )
