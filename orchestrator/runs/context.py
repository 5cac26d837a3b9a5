"""What a stage of a plan may know when it runs: the plan's part of it, handed to the verb."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.plan.plan import Plan, Stage
from orchestrator.recipe.graph import find_model
from orchestrator.stages.context import Context, Share


def context_of(plan: Plan, stage: Stage, work: Path, inputs: Mapping[str, Path], share: Share) -> Context:
    """The context of a stage that runs in the folder `work`, each of its jobs with that share of the cluster."""
    recipe = plan.recipe
    return Context(
        name=stage.name,
        model_name=stage.model or "",
        also=stage.also,
        task=recipe.task,
        seed=recipe.seed,
        evaluate=recipe.evaluate,
        stop_on=recipe.limits.ends_on,
        stages=recipe.stages,
        work=work,
        inputs=inputs,
        share=share,
        model=lambda name: find_model(recipe.stages, plan.start, name, lambda made_by: inputs[made_by]),
    )
