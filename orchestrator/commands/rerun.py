"""`rerun` as a function: the recipe of a past run or sweep, as it was then, to run it again or resume it."""

from dataclasses import replace

from orchestrator.errors import InputError
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.stored_task import StoredTask
from orchestrator.recipe.yaml_source import read_data
from orchestrator.runs.past import RECIPE_FILE, stored_recipe
from orchestrator.store.names import SOURCE_TAG, SWEEP, SWEEP_BLOCK
from orchestrator.store.opening import open_store


def recipe_of(run: str | None = None, *, trust: bool = False) -> Recipe:
    """The recipe of a run, overrides included; for a sweep, with its `sweep` block.

    `run` is an id or the beginning of one, an experiment, or `last`, the default; a stage or a trial stands for its
    parent run. `trust` runs whatever code the recipe names.

    Raises:
        TrackingError: no such run.
        InputError: the run has no stored recipe.
        UntrustedCode: the recipe's task is in a separate file that has changed since.
        RecipeError: the recipe can no longer be read.
    """
    store = open_store()
    found = store.find(None if run == "last" else run)
    while found.parent is not None:
        found = store.find(found.parent)
    if not store.artifact(found, RECIPE_FILE).is_file():
        raise InputError(f"run {found.run_id} was not created by `orch run` or `orch sweep`: it has no {RECIPE_FILE}")
    recipe = stored_recipe(store, found.run_id, trust)
    source = found.tags.get(SOURCE_TAG, recipe.source)
    known = {"source": source, "written": replace(recipe.written, source=source)}
    if isinstance(recipe.task, StoredTask):
        known["task"] = recipe.task.loaded()
    recipe = recipe.model_copy(update=known)
    if found.verb != SWEEP:
        return recipe
    block = read_data(store.artifact(found, SWEEP_BLOCK), SWEEP_BLOCK)
    return recipe.varied({"sweep": block["sweep"]})
