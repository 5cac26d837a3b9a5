"""`sft`: supervised fine-tuning on demonstrations, on selected completions, or on both; the latter two are RFT."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from orchestrator.errors import StageError
from orchestrator.schema import Names
from orchestrator.stages.base import DEMONSTRATIONS, Bounds, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import digest, split_digest
from orchestrator.stages.training import Training
from orchestrator.store.tables import rows_of
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.training.job import TrainingJob
from orchestrator.training.rows import Pair, Rows
from orchestrator.training.settings import SftSettings
from orchestrator.types import DataUsed, Finding


def _run(argument: tuple[Any, ...]) -> None:
    from orchestrator.training.sft import SftJob, run_sft

    settings, stop_on, validation = argument
    run_sft(SftJob(*settings, stop_on=stop_on, validation=validation))


class Sft(SftSettings, Training):
    """Supervised fine-tuning on worked solutions (TRL's SFTTrainer)."""

    type: Literal["sft"]
    data: Names = (DEMONSTRATIONS,)
    """`demonstrations`, select stages, or a list of these, whose rows are combined."""

    VERSION = 1
    REFERENCES: ClassVar[Mapping[str, Kind]] = {**Training.REFERENCES, "data": Kind.ROWS}
    PANELS = (("loss, nats per token", ("loss", "eval_loss")), ("held-out accuracy", ("eval_accuracy",)))
    BASELINE = True

    def leaves_out(self) -> Mapping[str, str]:
        """The judge: worked solutions and selected completions are learned as they are."""
        return {"judging": "no completion is judged"}

    def jobs(self, context: Context) -> list[Job]:
        """One job. Demonstrations are sent with it; all other rows are passed as paths."""
        settings = (
            context.work,
            context.model(self.model),
            context.task.format,
            self,
            context.seed,
            context.cpus,
            self.rows(context),
        )
        return [Job(_run, (settings, context.stop_on, self.validation_job(context)))]

    def rows(self, context: Context) -> Rows:
        """The rows that it trains on, in the order in which the recipe names their sources.

        Raises:
            StageError: there are no rows.
        """
        rows: list[Pair | Path] = []
        for source in self.data:
            if source == DEMONSTRATIONS:
                rows += [(e.question, context.task.target(e)) for e in context.task.examples(source)]
            elif rows_of(context.inputs[source]):
                rows.append(context.inputs[source])
        if not rows:
            raise StageError(
                f"there is no row to train on: {' and '.join(self.data)} is empty; add demonstrations to "
                f"stages.{context.name}.data, or draw more"
            )
        return tuple(rows)

    def splits_read(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The demonstrations, if it trains on them."""
        return {DEMONSTRATIONS} & set(self.data)

    def finish(self, context: Context) -> Output:
        """The model, its curves and the data it was trained on."""
        used = []
        for source in self.data:
            if source == DEMONSTRATIONS:
                number, known = len(context.task.examples(source)), split_digest(context.task, source)
                used.append(DataUsed(source, "training", known, context.task.type, number))
            else:
                path = context.inputs[source]
                used.append(DataUsed(source, "training", digest(path), path.as_uri(), rows_of(path)))
        return self.trained(context, tuple(used), {"rows": float(sum(d.rows for d in used))})

    def config(self, job: TrainingJob) -> Any:
        """TRL's SFTConfig."""
        from orchestrator.training.configuration import sft_config

        return sft_config(job)

    def row_sources(self) -> tuple[str, ...]:
        """The sources of its rows."""
        return self.data

    def learns_from(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The demonstrations, and the splits whose questions its rows were drawn for."""
        drawings = [stages[name].source(stages) for name in self.data if name in stages]
        return ({DEMONSTRATIONS} & set(self.data)) | {drawing.split for drawing in drawings if drawing is not None}

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The number of rows of all sources together."""
        known = [
            Bounds(n := len(task.examples(DEMONSTRATIONS)), n)
            if name == DEMONSTRATIONS
            else stages[name].bounds(task, stages)
            for name in self.data
        ]
        return Bounds(sum(b.least for b in known), sum(b.most for b in known))

    def too_few(self, name: str, task: Task, rows: Bounds) -> Finding | None:
        """The finding for too few rows to fill a batch, if incomplete batches are dropped."""
        if not self.further.get("dataloader_drop_last") or rows.most >= self.per_device_train_batch_size:
            return None
        return Finding(
            "too-few-rows",
            "error",
            f"stage {name}: {rows.most:,} rows do not fill a batch of {self.per_device_train_batch_size:,}",
            "dataloader_drop_last is true",
            "an incomplete batch is dropped, so no step would be taken",
            f"leave stages.{name}.dataloader_drop_last out, or lower per_device_train_batch_size",
        )

    def countable(self, task: Task) -> Mapping[str, float]:
        """The number of rows, if all are demonstrations."""
        return {"rows": len(task.examples(DEMONSTRATIONS))} if set(self.data) == {DEMONSTRATIONS} else {}
