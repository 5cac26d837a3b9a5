"""How much the seed alone moves a model's accuracy, as far as other runs of its recipe tell."""

from collections.abc import Mapping
from statistics import stdev

from orchestrator.comparison.groups import Variant
from orchestrator.comparison.past_models import PastModel, past_models, recipe_of, same_recipe
from orchestrator.errors import InputError
from orchestrator.recipe.plain import made_from
from orchestrator.store.base import StoredRun
from orchestrator.store.find import PastRuns

_ENOUGH = 3
"""Seeds from which on a standard deviation is reported."""
_LOOKED_AT = 50
"""Of the newest runs of the experiment."""


def seed_sds(past: PastRuns, labels: Mapping[str, Variant]) -> tuple[tuple[str, float, int], ...]:
    """For each label of one seed whose recipe was also run with others: (label, standard deviation, seeds).

    All are accuracies on the split that the labels' models were asked, whichever the others' recipes compare on.
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
        except InputError:  # a run that something else has made there
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
    """Whether a run may have one of these models with a seed that is not known yet: its recipe alone tells."""
    recipe = recipe_of(past, run)
    seeds = recipe.get("seeds") or [recipe.get("seed", 0)]
    return any(
        set(seeds) - known[label].keys() and made_from(recipe, model.model) == model.made_from
        for label, model in single.items()
    )
