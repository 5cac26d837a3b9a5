"""`check` as a function: all checks of a recipe that are possible before any compute is spent."""

from orchestrator.commands.plan import plan
from orchestrator.health.findings import CheckReport
from orchestrator.plan.plan import plans_of
from orchestrator.recipe.recipe import Recipe


def check(recipe: Recipe) -> CheckReport:
    """Check a recipe's data, prompts, tokens, labels and sizes. CPU only; trains nothing, writes nothing.

    Raises:
        InputError: something the recipe names cannot be used at all.
        FormatChange: the model was trained with a different answer format.
    """
    from orchestrator.health.check import check_plan
    from orchestrator.runs.cluster import is_joined
    from orchestrator.store.place import store_folder

    first = plans_of(plan(recipe))[0]  # the checks do not depend on the seed
    return check_plan(first, recipe.work_folder or store_folder() / "work", is_joined())
