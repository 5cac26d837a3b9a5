"""Supervised fine-tuning on (question, target) pairs; the loss covers only the target."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, concatenate_datasets

from orchestrator.answers.tokens import Ids, TargetTokens, answer_token, prompt_ids
from orchestrator.errors import StageError
from orchestrator.models.loading import load_tokenizer, load_trainable
from orchestrator.training import workers
from orchestrator.training.configuration import sft_config
from orchestrator.training.invariants import (
    MASKED,
    NO_ROW,
    ROW,
    RowCollator,
    RowTrainer,
    Source,
    WeightedRowCollator,
    WeightedRowTrainer,
)
from orchestrator.training.job import TrainingJob
from orchestrator.training.rows import Pairs, Rows, batches, on_disk
from orchestrator.training.settings import SftSettings
from orchestrator.training.trainer import train
from orchestrator.training.weighted import WEIGHTS, target_weights


@dataclass(frozen=True, slots=True)
class SftJob(TrainingJob):
    """A training job with its rows."""

    spec: SftSettings
    rows: Rows


def run_sft(job: SftJob) -> None:
    """Train on the rows and save the model in `work/model`."""
    torch.set_num_threads(job.cpus)
    # the adapter's random weights are drawn before the trainer exists, so its seed has to be set here
    torch.manual_seed(job.seed)
    tokenizer = load_tokenizer(job.model.base)
    model = load_trainable(job.model, job.spec.lora)
    weighted = job.spec.answer_weight != 1
    config = sft_config(job)
    source = Source(tokenizer, job.answer_format, Pairs(job.rows, job.work))
    data = tokenized(job, tokenizer)
    data = data.add_column(ROW, np.arange(len(data)))
    if workers.count() > 1:
        data = concatenate_datasets([data, _nothing(data)])
    trainer = (WeightedRowTrainer if weighted else RowTrainer)(
        model=model,
        args=config,
        train_dataset=data,
        data_collator=collator(tokenizer, weighted, config.pad_to_multiple_of, source),
        processing_class=tokenizer,
    )
    trainer.batch_rows, trainer.dealt = job.spec.per_device_train_batch_size, job.spec.dealt
    train(trainer, job)


def _nothing(data: Dataset) -> Dataset:
    """A copy of the first row in which no token is trained on."""
    row = data[0]
    row |= {"labels": [MASKED] * len(row["labels"]), ROW: NO_ROW}
    if WEIGHTS in row:
        row[WEIGHTS] = [0.0] * len(row[WEIGHTS])
    return Dataset.from_list([row], features=data.features)


def collator(
    tokenizer: Any, weighted: bool = False, multiple: int | None = None, source: Source | None = None
) -> RowCollator | WeightedRowCollator:
    """The collator that forms batches, padded to a `multiple` of tokens; the checks inspect labels through it.

    It raises StageError on a label that is not the token itself and, if the `source` of the rows is given, on a row
    that is not the prompt and the target as at inference.
    """
    kind = WeightedRowCollator if weighted else RowCollator
    made = kind(pad_token_id=tokenizer.pad_token_id, pad_to_multiple_of=multiple)
    made.source = source
    return made


def tokenized(job: SftJob, tokenizer: object) -> Dataset:
    """Rows of `input_ids` and `labels`: -100 on the prompt, the token itself on the target and the end of text.

    If answers are weighted, a third column has the token weights. The rows are on disk, in `job.work`.

    Raises:
        StageError: a row is longer than `max_length`.
        DataError: a file of rows is missing or damaged.
    """
    columns = {"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())}
    if job.spec.answer_weight != 1:
        columns[WEIGHTS] = pa.list_(pa.float64())
    schema = pa.schema(columns)
    # an explicit fingerprint: datasets would read all rows to compute one
    return Dataset(on_disk(schema, _token_batches(job, tokenizer, schema), job.work), fingerprint=uuid4().hex)


def _token_batches(job: SftJob, tokenizer: object, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    first, tokens = 1, TargetTokens(tokenizer, job.cpus)
    for batch in batches(job.rows):
        questions, targets = (batch[name].to_pylist() for name in ("question", "target"))
        prompt_of = {
            question: np.array(prompt_ids(tokenizer, job.answer_format, question), np.int32)
            for question in set(questions)
        }
        prompts, answers = [prompt_of[question] for question in questions], tokens.ids(targets)
        for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), first):
            if len(prompt) + len(answer) > job.spec.max_length:
                raise StageError(
                    f"training row {number} has {len(prompt) + len(answer)} tokens, more than max_length = "
                    f"{job.spec.max_length}: truncating it would cut off its answer; raise max_length or drop the row. "
                    f"It begins {questions[number - first][:60]!r}"
                )
        columns = [*_ids_and_labels(prompts, answers)]
        if WEIGHTS in schema.names:
            columns.append(pa.array(_weights(job, tokenizer, prompts, answers, targets), schema.field(WEIGHTS).type))
        yield pa.record_batch(columns, schema)
        first += batch.num_rows


def _ids_and_labels(prompts: list[Ids], answers: list[Ids]) -> tuple[pa.ListArray, pa.ListArray]:
    """Each row's tokens, and the same tokens with the prompt masked."""
    parts = [part for row in zip(prompts, answers, strict=True) for part in row]
    lengths = np.array([len(part) for part in parts])
    ids, is_prompt = np.concatenate(parts), np.arange(len(parts)) % 2 == 0
    labels = np.where(np.repeat(is_prompt, lengths), np.int32(MASKED), ids)
    ends = lengths.cumsum()[1::2]
    offsets = pa.array(np.concatenate(([0], ends)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(ids)), pa.ListArray.from_arrays(offsets, pa.array(labels))


def _weights(
    job: SftJob, tokenizer: object, prompts: list[Ids], answers: list[Ids], targets: list[str]
) -> list[list[float]]:
    begins = (answer_token(tokenizer, job.answer_format, target) for target in targets)
    return [
        target_weights(len(prompt), len(answer), place, job.spec.answer_weight)
        for prompt, answer, place in zip(prompts, answers, begins, strict=True)
    ]
