"""`rehearse`: train a model further on given rows, at a constant learning rate. One file is all a verb needs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from orchestrator.schema import Names
from orchestrator.stages.base import Bounds, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.training import Training
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.training.job import TrainingJob
from orchestrator.training.settings import SftSettings
from orchestrator.types import Finding


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.sft import SftJob, run_sft

    run_sft(SftJob(*argument))


class Rehearse(SftSettings, Training):
    """Train a model only on the rows of select stages."""

    type: Literal["rehearse"]
    rows: Names
    """Select stages."""
    lr_scheduler_type: Literal["constant"] = "constant"

    VERSION = 1
    REFERENCES: ClassVar[Mapping[str, Kind]] = {**Training.REFERENCES, "rows": Kind.ROWS}
    PANELS = (("loss while rehearsing", ("loss",)),)

    def leaves_out(self) -> Mapping[str, str]:
        """Rows are used as they are."""
        return {"judging": "no completion is judged"}

    def jobs(self, context: Context) -> list[Job]:
        """One job."""
        rows = tuple(context.inputs[source] for source in self.rows)
        model = context.model(self.model)
        settings = (context.work, model, context.task.format, self, context.seed, context.cpus, rows)
        return [Job(_run, settings)]

    def finish(self, context: Context) -> Output:
        """The model and its curve."""
        return self.trained(context, (), {})

    def config(self, job: TrainingJob) -> Any:
        """TRL's SFTConfig."""
        from orchestrator.training.configuration import sft_config

        return sft_config(job)

    def row_sources(self) -> tuple[str, ...]:
        """The select stages."""
        return self.rows

    def learns_from(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The splits whose questions its rows answer."""
        drawings = [stages[name].source(stages) for name in self.rows]
        return {drawing.split for drawing in drawings if drawing is not None}

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The sum of its sources' bounds."""
        known = [stages[name].bounds(task, stages) for name in self.rows]
        return Bounds(sum(b.least for b in known), sum(b.most for b in known))

    def too_few(self, name: str, task: Task, rows: Bounds) -> Finding | None:
        """Never: one row is enough for a batch."""
        return None
