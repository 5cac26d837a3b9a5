"""`check` as a function: everything that can be known of a recipe before anything is spent."""

from orchestrator.commands.plan import plan
from orchestrator.health.findings import CheckReport
from orchestrator.plan.plan import SeedsPlan
from orchestrator.recipe.recipe import Recipe


def check(recipe: Recipe) -> CheckReport:
    """Look at a recipe's data, prompts, tokens, labels and sizes. CPU only; trains nothing, writes nothing.

    Raises:
        InputError: something the recipe names cannot be used at all.
        FormatChange: the model was trained under another answer format.
    """
    from orchestrator.health.check import check_plan
    from orchestrator.runs.cluster import is_joined
    from orchestrator.store.place import store_folder

    made = plan(recipe)
    one = made.plans[0] if isinstance(made, SeedsPlan) else made  # the seed decides nothing of what is looked at
    return check_plan(one, recipe.storage or store_folder() / "work", is_joined())
