"""The common part of the verbs that train: the model they produce, their validation, and how long they take."""

import json
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.errors import StageError
from orchestrator.stages.base import Bounds, Keys, Kind, Verb
from orchestrator.stages.context import Context, Output
from orchestrator.stages.warmup import warmup_finding
from orchestrator.store.file_soundness import damage
from orchestrator.store.names import CHOSEN_STEP, CHOSEN_TAG, MODEL
from orchestrator.tasks import Task
from orchestrator.training.job import CHOSEN_FILE, TrainingJob, ValidationJob
from orchestrator.training.journal import NAME, read
from orchestrator.training.settings import TrainingSettings
from orchestrator.types import DataUsed, Finding


class Training(TrainingSettings, Verb):
    """A stage that trains a model, starting from another one."""

    OUTPUT = MODEL
    MAKES = Kind.MODEL
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"model": Kind.MODEL}
    CPUS = 2
    CURVES: ClassVar[tuple[str, ...]] = ("loss", "eval_loss", "eval_accuracy", "grad_norm", "learning_rate", "epoch")
    SPOKEN = True

    @property
    def workers(self) -> int:
        """Number of workers that train one model together."""
        return self.resources.workers

    @abstractmethod
    def config(self, job: TrainingJob) -> Any:
        """The stage as TRL's own configuration. Runs on a worker, or in a check that may load TRL.

        Raises:
            StageError: TRL rejects the settings.
        """

    @abstractmethod
    def too_few(self, name: str, task: Task, rows: Bounds) -> Finding | None:
        """The finding for a training that would take no step."""

    def key_inputs(self, keys: Keys) -> dict[str, Any]:
        """The inputs of every verb, and those of the validation, which selects the checkpoint."""
        inputs = super().key_inputs(keys)
        if self.validation is not None:
            task, n = keys.task, self.validation.questions
            asked: dict[str, Any] = {"questions": task.fingerprint("validation"), "judging": task.judging()}
            if any(e.demonstration is None for e in task.examples("validation")[:n]):
                asked["loss"] = "demonstrations"  # older versions included bare answers in the loss
            inputs["validation"] = asked | {"max_tokens": keys.evaluate.max_tokens}
        if self.workers > 1 and self.draws_numbers:
            inputs["workers"] = self.workers
        return inputs

    def settings_findings(self, name: str, task: Task, stages: Mapping[str, Verb]) -> Iterator[Finding]:
        """Batches that are never full, and a warm-up that outlasts the training."""
        rows = self.bounds(task, stages)
        short = self.too_few(name, task, rows)
        finding = short or warmup_finding(name, self, self.steps(rows.most))
        if finding is not None:
            yield finding

    @classmethod
    def amount(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """Number of rows that the training processes, counting repetitions."""
        at_once = float(settings["per_device_train_batch_size"])
        at_once *= float(settings.get("gradient_accumulation_steps", 1))
        if "max_steps" in settings:
            return float(settings["max_steps"]) * at_once
        rows = cls.rows_an_epoch(settings, known)
        return None if rows is None else rows * float(settings.get("num_train_epochs", cls.DEFAULT_EPOCHS))

    @classmethod
    def rows_an_epoch(cls, settings: Mapping[str, str], known: Mapping[str, float]) -> float | None:
        """Rows per epoch; None if unknown."""
        return known.get("rows")

    def validation_job(self, context: Context) -> ValidationJob | None:
        """The questions that the training is validated on; None if the recipe has no validation."""
        if self.validation is None:
            return None
        examples = tuple(context.task.examples("validation")[: self.validation.questions])
        evaluate = context.evaluate
        return ValidationJob(context.task, examples, evaluate.max_tokens, evaluate.batch_size)

    def trained(self, context: Context, data: tuple[DataUsed, ...], extra: dict[str, float]) -> Output:
        """Copy the model into the stage's output and summarize the training."""
        context.output.mkdir(exist_ok=True)
        for file in (context.work / "model").iterdir():
            if (why := damage(file)) is not None:
                raise StageError(f"the model in {file.parent} cannot be used: {why}; run the same command again")
        folder = context.output / MODEL
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(context.work / "model", folder)
        metrics = extra | {"model_mb" if self.lora is None else "adapter_mb": _size(folder) / 1e6}
        chosen, tags = context.work / CHOSEN_FILE, {}
        if chosen.exists():
            choice = json.loads(chosen.read_text())
            metrics[CHOSEN_STEP] = choice["step"]
            tags[CHOSEN_TAG] = choice["why"]
        points = [record.get("metrics", {}) for record in read(context.work / NAME)]
        curve = [point[self.HEADLINE] for point in points if self.HEADLINE in point]
        figure = f"{self.HEADLINE} {curve[-1]:.3f}" if curve else "trained"
        tokens = _tokens([point["num_tokens"] for point in points if "num_tokens" in point])
        return Output(figure, metrics, data, tags=tags, tokens=tokens)


def _tokens(counts: list[float]) -> int | None:
    """Total number of tokens seen: TRL's count restarts at 0 when a killed training resumes."""
    if not counts:
        return None
    return round(sum(now for now, then in pairwise([*counts, 0.0]) if then < now))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
