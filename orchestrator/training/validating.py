"""Validate a model while it trains, on questions that it is not trained on, and select the best checkpoint.

Answers are generated as in evaluation, greedily, and judged by the same judge. The measurements are in the journal and
the models that may still be chosen are stored beside it, so a killed training resumes with both.
"""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.models.loading import save_model
from orchestrator.sampling.answering import answer
from orchestrator.sampling.completions import summary_of_verdicts
from orchestrator.sampling.engine import Decoding
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.training import workers
from orchestrator.training.checkpoints import step_of
from orchestrator.training.job import CHOSEN_FILE, TrainingJob
from orchestrator.training.journal import Journal, read
from orchestrator.training.selection import Point, choose, in_question
from orchestrator.types import Verdict

_ROWS = 4
"""Rows whose loss is computed at once: all their logits are in memory."""
_FOLDER = "validated"


class Validator(TrainerCallback):  # type: ignore[misc]
    """Measures before the first step, every few steps and at the last step; keeps the models that may be chosen.

    Workers that train together all measure, as each would have to wait anyway; only the first one writes.
    """

    def __init__(self, model: Any, tokenizer: Any, job: TrainingJob, journal: Journal) -> None:
        assert job.validation is not None and job.spec.validation is not None
        self.model, self.tokenizer, self.job, self.journal = model, tokenizer, job, journal
        self.asked, self.wanted = job.validation, job.spec.validation
        self.folder = job.work / _FOLDER

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Measure the initial model once: the curves start there, but it is never chosen."""
        if state.global_step == 0 and workers.as_the_first(0 not in self._measured()):
            self.journal.metrics(0, *self._look())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Measure if due, and request a checkpoint of the step, so that a killed training resumes from here."""
        if state.global_step % self.wanted.every and state.global_step < state.max_steps:
            return
        measured, right = self._look()
        if self.wanted.select != "last" and workers.is_first():
            self._keep(state.global_step)
        self.journal.metrics(state.global_step, measured, right)
        control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Delete the models that can no longer be chosen, whichever checkpoint training may resume from."""
        if not workers.is_first():
            return
        points, kept = self.points(), set[str]()
        for checkpoint in Path(args.output_dir).glob("checkpoint-*"):
            before = [point for point in points if point.step <= step_of(checkpoint)]
            kept |= {str(step) for step in in_question(before, self.wanted.select)} if before else set()
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name not in kept:
                shutil.rmtree(path)

    def points(self) -> list[Point]:
        """The measurements of models that may be chosen, including those from before the training was killed."""
        return [
            Point(step, values.get("eval_loss", math.nan), values["eval_accuracy"])
            for step, values in self._measured().items()
            if step
        ]

    def _measured(self) -> dict[int, dict[str, float]]:
        """The measurements in the journal, by step."""
        records = (r for r in read(self.journal.path) if "eval_accuracy" in r.get("metrics", {}))
        return {record["step"]: record["metrics"] for record in records}

    def hand_on(self, folder: Path) -> None:
        """Put the chosen model into `folder`, and a record of the choice beside it."""
        if not workers.is_first():
            return
        choice = choose(self.points(), self.wanted.select)
        shutil.rmtree(folder, ignore_errors=True)
        if self.wanted.select == "last":
            self._save(folder)
        else:
            shutil.copytree(self.folder / str(choice.step), folder)
        (self.job.work / CHOSEN_FILE).write_text(json.dumps({"step": choice.step, "why": choice.why}) + "\n")

    def _look(self) -> tuple[dict[str, float], str]:
        """Measure the model in evaluation mode, then restore the previous mode."""
        training = self.model.training
        self.model.eval()
        try:
            return self._measure()
        finally:
            self.model.train(training)

    def _measure(self) -> tuple[dict[str, float], str]:
        """The model's metrics, and which questions it answered correctly: a 0 or 1 for each, in order."""
        task, examples = self.asked.task, self.asked.examples
        rows = [
            (prompt_ids(self.tokenizer, task.format, e.question), target_ids(self.tokenizer, task.target(e)))
            for e in examples
            if e.demonstration is not None  # a bare answer is not what the model learns to write
        ]
        loss = mean_loss(self.model, rows, self.tokenizer.pad_token_id) if rows else math.nan
        engine = _Live(self.model, self.tokenizer)
        decoding = Decoding(0.0, 1.0, self.asked.max_tokens, task.format.stop)
        judged: list[Verdict] = []
        try:
            for start in range(0, len(examples), self.asked.batch_size):
                part = examples[start : start + self.asked.batch_size]
                judged += [verdict for _, verdict in answer(engine, task, part, range(1), decoding, 0)]
        finally:
            engine.leave()
        found = summary_of_verdicts(judged, own_scores=task.own_scores)
        measured = {"eval_accuracy": found.accuracy, "eval_answer_rate": found.answer_rate}
        if found.mean_score is not None and task.own_scores:
            measured["eval_mean_score"] = found.mean_score
        right = "".join("1" if verdict.status == "correct" else "0" for verdict in judged)
        return measured | ({"eval_loss": loss} if math.isfinite(loss) else {}), right

    def _keep(self, step: int) -> None:
        """Save the current model, under a temporary name first: its folder exists complete or not at all."""
        temporary, path = self.folder / f"{step}.tmp", self.folder / str(step)
        for old in (temporary, path):
            shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir(parents=True)
        self._save(temporary)
        temporary.rename(path)

    def _save(self, folder: Path) -> None:
        contract = self.job.answer_format.model_dump(mode="json")
        save_model(self.model, self.tokenizer, self.job.model, folder, contract)


@torch.no_grad()  # type: ignore[untyped-decorator]
def mean_loss(model: Any, rows: Sequence[tuple[list[int], list[int]]], pad: int) -> float:
    """Mean negative log-likelihood of the target tokens, in nats; `rows` are (prompt ids, target ids)."""
    total, tokens = 0.0, 0
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        width = max(len(prompt) + len(target) for prompt, target in part)
        full = [(prompt + target, width - len(prompt) - len(target)) for prompt, target in part]
        ids = torch.tensor([row + [pad] * gap for row, gap in full], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * gap for row, gap in full], device=model.device)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for row, (prompt, target) in enumerate(part):
            said = logits[row, len(prompt) - 1 : len(prompt) + len(target) - 1].float().log_softmax(-1)
            wanted = torch.tensor(target, device=model.device).unsqueeze(1)
            total -= said.gather(1, wanted).sum().item()
            tokens += len(target)
    return total / tokens


class _Live(TransformersEngine):
    """The engine on a model that is being trained; `leave` restores the model's own generation settings."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._shipped = model.generation_config
        self._hold(model, tokenizer)

    def leave(self) -> None:
        """Restore the model's generation settings."""
        self.model.generation_config = self._shipped
