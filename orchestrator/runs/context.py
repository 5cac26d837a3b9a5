"""Builds the context of a stage: the parts of the plan that are passed to its verb."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import Plan, Stage
from orchestrator.recipe.graph import find_model
from orchestrator.stages.context import Context, Share


def context_of(
    plan: Plan,
    stage: Stage,
    work: Path,
    made: Mapping[str, Path],
    share: Share,
    copies: Mapping[Path, Path] | None = None,
    places: int = 1,
    drawn: Path | None = None,
) -> Context:
    """The context of a stage that runs in the folder `work`; each of its jobs gets that share of the cluster.

    `made`: the outputs of the stages that it reads from; workers read their `copies`, if any. `places`: how many of its
    jobs may run in parallel. `drawn`: a file of completions that it would otherwise draw.
    """
    recipe = plan.recipe
    copies = copies or {}
    read = {str(path.resolve()): str(copy) for path, copy in copies.items()}

    def model(name: str) -> ModelRef:
        found = find_model(recipe.stages, plan.start, name, lambda made_by: made[made_by].resolve())
        base = replace(found.base, copy=read.get(found.base.location))
        return replace(found, base=base, adapter=read.get(str(found.adapter), found.adapter))

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
        inputs={name: copies.get(path, path) for name, path in made.items()},
        drawn=None if drawn is None else copies.get(drawn, drawn),
        share=share,
        places=places,
        model=model,
    )
