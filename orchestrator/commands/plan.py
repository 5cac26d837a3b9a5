"""`plan` as a function: the compiled recipe, with the stages that the store already holds."""

import os

from orchestrator.plan.forecast import Forecast, forecast, past_costs
from orchestrator.plan.plan import Plan, Stage, TrialsPlan, compile_recipe, plans_of
from orchestrator.recipe.recipe import Recipe
from orchestrator.recipe.yaml_source import write_data
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.known import known
from orchestrator.runs.preflight import too_large
from orchestrator.store.machine import cores_and_gpus, kind_of_machine
from orchestrator.store.opening import existing_store
from orchestrator.sweeps.planned import PlannedSweep, planned
from orchestrator.sweeps.variants import Variants
from orchestrator.tasks.judged_by import judged_by


def plan(recipe: Recipe) -> Plan | TrialsPlan:
    """Compile a recipe and look up which of its stages are cached. Writes nothing, starts nothing."""
    compiled = compile_recipe(recipe)
    store = existing_store()
    return compiled if store is None else known(compiled, store)


def planned_sweep(recipe: Recipe) -> PlannedSweep:
    """The plan of the recipe's `sweep` block. Writes nothing, starts nothing; raises the same errors as `sweep`."""
    store = existing_store()
    return planned(Variants(recipe), store, [] if store is None else past_costs(store, kind_of_machine()))


def forecasts(made: Plan | TrialsPlan) -> dict[str, Forecast]:
    """Forecasts, by key, of the time and memory that the stages to be run will need on this machine, where known."""
    store = None if all(stage.cached for stage in made.stages) else existing_store()
    if store is None:
        return {}
    past = past_costs(store, kind_of_machine())
    found = [(plan, forecast(plan, past)) for plan in plans_of(made)]
    return {stage.key: known[stage.name] for plan, known in found for stage in plan.stages if stage.name in known}


def will_not_fit(made: Plan | TrialsPlan) -> list[str]:
    """Stages to be run that need more than this machine has; empty for a cluster, which is not queried."""
    if os.environ.get("RAY_ADDRESS"):
        return []
    cores, gpus = cores_and_gpus()
    return too_large(plans_of(made), Cluster(cores, cores, gpus, False, ((cores, gpus),)))


def needs(stage: Stage) -> str:
    """The resources that a stage's workers request, in words; a range if the amount depends on the machine."""
    asked = stage.spec.resources
    cpus = asked.cpus or (1 if stage.spec.CPUS == 1 else f"1-{stage.spec.CPUS}")
    gpus = f"{asked.gpus:g}" if asked.gpus is not None else "0-1"
    workers = stage.spec.workers
    each = f"{cpus} CPU, {gpus} GPU" if stage.spec.ON_GPU else f"{cpus} CPU"
    return f"{workers} x ({each})" if workers > 1 else each


def written_out(recipe: Recipe) -> str:
    """The recipe as YAML with every default; comments above it show a prompt and how answers are judged.

    Raises:
        DataError: the split that models are compared on cannot be read.
    """
    example, form = recipe.task.examples(recipe.evaluate.on)[0], recipe.task.format
    asked = form.prompt_text(example.question) + form.prefix
    how = "in the model's chat template: " if form.chat else ""
    lines = [
        f"asked ({recipe.evaluate.on}, {example.id}), {how}{asked!r}",
        f"gold answer: {example.answer!r}",
        f"judged by: {judged_by(recipe.task)}",
    ]
    return "".join(f"# {line}\n" for line in lines) + write_data(recipe.resolved())
