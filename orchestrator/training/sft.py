"""Supervised fine-tuning on (question, target) pairs; the loss is taken on the target alone."""

from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset

from orchestrator.answers.tokens import answer_token, prompt_ids, target_ids
from orchestrator.errors import StageError
from orchestrator.models.loading import load_tokenizer, load_trainable
from orchestrator.training.configuration import sft_config
from orchestrator.training.invariants import (
    MASKED,
    ROW,
    RowCollator,
    RowTrainer,
    Source,
    WeightedRowCollator,
    WeightedRowTrainer,
)
from orchestrator.training.job import TrainingJob
from orchestrator.training.settings import SftSettings
from orchestrator.training.trainer import train
from orchestrator.training.weighted import WEIGHTS, target_weights


@dataclass(frozen=True, slots=True)
class SftJob(TrainingJob):
    """A training job with its rows."""

    spec: SftSettings
    rows: tuple[tuple[str, str], ...]
    """(question, target) pairs."""


def run_sft(job: SftJob) -> None:
    """Train on the rows; leaves the model in `work/model`."""
    torch.set_num_threads(job.cpus)
    # the adapter's random weights are drawn before the trainer exists, so its seed has to be set here
    torch.manual_seed(job.seed)
    tokenizer = load_tokenizer(job.model.base)
    model = load_trainable(job.model, job.spec.lora)
    weighted = job.spec.answer_weight != 1
    config = sft_config(job)
    source = Source(tokenizer, job.answer_format, job.rows)
    trainer = (WeightedRowTrainer if weighted else RowTrainer)(
        model=model,
        args=config,
        train_dataset=tokenized(job, tokenizer).add_column(ROW, list(range(len(job.rows)))),
        data_collator=collator(tokenizer, weighted, config.pad_to_multiple_of, source),
        processing_class=tokenizer,
    )
    train(trainer, job)


def collator(
    tokenizer: Any, weighted: bool = False, multiple: int | None = None, source: Source | None = None
) -> RowCollator | WeightedRowCollator:
    """What puts rows together into batches, padded to a `multiple` of tokens; the checks look at labels through it.

    It raises StageError on a label that is not the token itself; where it knows the `source` of rows, also on a row
    that is not the prompt and the target of inference.
    """
    kind = WeightedRowCollator if weighted else RowCollator
    made = kind(pad_token_id=tokenizer.pad_token_id, pad_to_multiple_of=multiple)
    made.source = source
    return made


def tokenized(job: SftJob, tokenizer: object) -> Dataset:
    """Rows of `input_ids` and `labels`: -100 on the prompt, the token itself on the target and the end of text.

    Where answers weigh more there is a third column, the tokens' weights.
    """
    weight = job.spec.answer_weight
    rows: dict[str, list[Any]] = {"input_ids": [], "labels": []} | ({WEIGHTS: []} if weight != 1 else {})
    for number, (question, target) in enumerate(job.rows):
        prompt, answer = prompt_ids(tokenizer, job.answer_format, question), target_ids(tokenizer, target)
        if len(prompt) + len(answer) > job.spec.max_length:
            raise StageError(
                f"training row {number + 1} has {len(prompt) + len(answer)} tokens, more than max_length = "
                f"{job.spec.max_length}: cutting it would cut its answer off; raise max_length or drop the row. "
                f"It begins {question[:60]!r}"
            )
        rows["input_ids"].append(prompt + answer)
        rows["labels"].append([MASKED] * len(prompt) + answer)
        if WEIGHTS in rows:
            begins = answer_token(tokenizer, job.answer_format, target)
            rows[WEIGHTS].append(target_weights(len(prompt), len(answer), begins, weight))
    return Dataset.from_dict(rows)
