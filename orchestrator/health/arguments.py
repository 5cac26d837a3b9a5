"""Checks that the installed TRL accepts a stage's further arguments, and that its schedule has those it needs.

TRL's configuration is built and discarded.
"""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import StageError
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import Plan, Stage
from orchestrator.stages.training import Training
from orchestrator.training.job import TrainingJob
from orchestrator.types import Finding


def argument_findings(plan: Plan, stage: Stage) -> Iterator[Finding]:
    """The finding for a training stage whose further arguments TRL rejects, or whose schedule lacks some."""
    spec = stage.spec
    if not isinstance(spec, Training):
        return
    if not spec.further and spec.lr_scheduler_type == Training.model_fields["lr_scheduler_type"].default:
        return
    recipe = plan.recipe
    job = TrainingJob(Path("unused"), ModelRef(spec.model, plan.base), recipe.task.format, spec, recipe.seed, 1)
    try:
        spec.config(job)
    except StageError as error:
        yield Finding(
            "argument-refused",
            "error",
            f"stage {stage.name}: {error.problems[0]}",
            "\n".join(error.problems),
            "a value does not have the type that TRL expects, or conflicts with the others",
            f"fix it in stages.{stage.name}; TRL's documentation describes each argument under this name",
        )
