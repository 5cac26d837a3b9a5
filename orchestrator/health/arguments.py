"""Further arguments of TRL's, and a schedule that may need some: does the TRL that is installed take them?

Its configuration is built and thrown away.
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
    """The finding for a training stage whose further arguments TRL refuses, or whose schedule lacks some."""
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
            "a value is not of the type that TRL's configuration has for it, or does not go with the others",
            f"fix it in stages.{stage.name}; TRL's documentation has each argument under this name",
        )
