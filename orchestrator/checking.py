"""`check` as a function: everything that can be known of a recipe before anything is spent."""

from orchestrator.health.report import CheckReport
from orchestrator.planning import plan
from orchestrator.recipe import Recipe


def check(recipe: Recipe) -> CheckReport:
    """Look at a recipe's data, prompts, tokens, labels and sizes. CPU only; trains nothing, writes nothing.

    Raises:
        InputError: something the recipe names cannot be used at all.
        FormatChange: the model was trained under another answer format.
    """
    from orchestrator.cluster import is_joined
    from orchestrator.health.check import check_plan
    from orchestrator.tracking import store_folder

    return check_plan(plan(recipe), recipe.storage or store_folder() / "work", is_joined())
