"""`plan` as a function: the compiled recipe, knowing what the store holds already."""

from orchestrator.plan import Plan, SeedsPlan, Stage, compile_recipe
from orchestrator.recipe import Recipe


def plan(recipe: Recipe) -> Plan | SeedsPlan:
    """Compile a recipe and look up which of its stages are made. Writes nothing, starts nothing."""
    compiled = compile_recipe(recipe)
    from orchestrator.tracking import Store, store_exists

    return compiled.with_cached(Store().finished(compiled.stages)) if store_exists() else compiled


def needs(stage: Stage) -> str:
    """What one job of a stage asks for, in words; `auto` where it depends on the machine."""
    if stage.verb == "select":
        return "-"
    asked = stage.spec.resources
    cpus = asked.cpus or ("1-2" if stage.spec.MAKES_MODEL else 1)
    gpus = f"{asked.gpus:g}" if asked.gpus is not None else "0-1"
    return f"{cpus} CPU, {gpus} GPU"
