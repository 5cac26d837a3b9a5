"""Invariants of every training row, however it was built.

1. A label is -100 or the token at the same position.
2. A row is the prompt and the target, token for token as at inference, and ends with the end of text.

`orch check` checks all rows that are known before a run; the collator checks each row as it goes into a batch, and the
batch. This module must not know where rows come from, nor which of a target's tokens are trained.
"""

from collections.abc import Sequence
from typing import Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from orchestrator.answers.formats import AnswerFormat
from orchestrator.answers.tokens import prompt_ids, target_ids
from orchestrator.errors import StageError
from orchestrator.training import workers
from orchestrator.training.weighted import WeightedCollator, WeightedTrainer

ROW = "row"
"""The column with the index of the (question, target) pair that a row was built from."""
NO_ROW = -1
"""In that column: a row without labels, for a worker that has no other row to process."""
MASKED = -100


def wrong_label(ids: Sequence[int], labels: Sequence[int]) -> int | None:
    """The first position whose label is neither -100 nor the token there; None if there is none."""
    if len(ids) != len(labels):
        return min(len(ids), len(labels))
    return next(
        (i for i, (token, label) in enumerate(zip(ids, labels, strict=True)) if label not in (MASKED, token)), None
    )


def parts_at(ids: Sequence[int], wanted: Sequence[int]) -> int | None:
    """The first position where a row differs from the expected one; None if they are equal."""
    if list(ids) == list(wanted):
        return None
    return next((i for i, (a, b) in enumerate(zip(ids, wanted, strict=False)) if a != b), min(len(ids), len(wanted)))


class Source:
    """The (question, target) pairs that rows are built from, and how they are tokenized at inference."""

    def __init__(self, tokenizer: Any, answer_format: AnswerFormat, pairs: Sequence[tuple[str, str]]) -> None:
        self.tokenizer, self.answer_format, self.pairs = tokenizer, answer_format, pairs
        self._seen: dict[int, int] = {}

    def hold(self, row: int, ids: Sequence[int], labels: Sequence[int]) -> None:
        """Raise StageError if a row violates an invariant.

        It is compared token by token the first time and by its hash after that, which costs a fiftieth.
        """
        seen = hash((tuple(ids), tuple(labels)))
        if self._seen.get(row) == seen:
            return
        question, target = self.pairs[row]
        name = f"training row {row + 1} ({question[:60]!r})"
        if (at := wrong_label(ids, labels)) is not None:
            token, label = (str(part[at]) if at < len(part) else "nothing" for part in (ids, labels))
            raise StageError(
                f"{name}: the label at position {at} is {label}, but the token there is {token}: a label is the token "
                f"itself or {MASKED}, because the trainer shifts the labels"
            )
        wanted = prompt_ids(self.tokenizer, self.answer_format, question) + target_ids(self.tokenizer, target)
        if (at := parts_at(ids, wanted)) is not None:
            here, there = (self.tokenizer.decode(part[at : at + 8]) for part in (ids, wanted))
            raise StageError(
                f"{name}: it is not the prompt and the target as at inference: they first differ at token {at}, "
                f"{here!r} in training, {there!r} at inference"
            )
        self._seen[row] = seen


def hold_batch(batch: dict[str, Any]) -> None:
    """Raise StageError if a batch has a label that differs from its token, or a label on padding."""
    ids, labels, there = batch["input_ids"], batch["labels"], batch["attention_mask"].bool()
    wrong = (labels != MASKED) & ((labels != ids) | ~there)
    if bool(wrong.any()):
        row, at = (int(n) for n in wrong.nonzero()[0])
        place = f"the token there is {int(ids[row, at])}" if bool(there[row, at]) else "there is only padding"
        raise StageError(
            f"row {row + 1} of a batch: the label at position {at} is {int(labels[row, at])}, but {place}: a label is "
            f"the token itself or {MASKED}"
        )


class _Holding:
    """A collator that rejects rows that violate an invariant; without a `source` it can check only the first one."""

    source: Source | None = None

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch of these rows."""
        if self.source is not None:
            for example in examples:
                if example[ROW] != NO_ROW:
                    self.source.hold(example[ROW], example["input_ids"], example["labels"])
        batch: dict[str, Any] = super().torch_call(examples)  # type: ignore[misc]
        hold_batch(batch)
        return batch


class RowCollator(_Holding, DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's collator, with the invariants checked."""


class WeightedRowCollator(_Holding, WeightedCollator):
    """The collator of weighted rows, with the invariants checked."""


class RowTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, except that it keeps the column with each row's index in its source.

    Several workers process the batches that a single one would: accelerate would distribute different ones, and repeat
    some rows at the end of an epoch. The last row of their data set is the one without a label.
    """

    batch_rows = 1
    """Rows in a whole batch, divided among the workers that share it."""
    dealt = 1
    """Number of batches processed at a time, each by different workers."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The batches, or this worker's part of them."""
        if workers.count() == 1:
            return super().get_train_dataloader()
        rows = self.train_dataset.select(range(len(self.train_dataset) - 1))
        sampler = self._get_train_sampler(rows)
        if isinstance(sampler, RandomSampler):
            sampler = SeedableRandomSampler(rows)  # as accelerate does for one worker
        batches = BatchSampler(sampler, self.batch_rows, self.args.dataloader_drop_last)
        own = workers.OwnRows(
            batches, self.batch_rows, workers.number(), workers.count(), self.dealt, len(self.train_dataset) - 1
        )
        return DataLoader(
            self._remove_unused_columns(self.train_dataset, description="training"),
            batch_sampler=own,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            multiprocessing_context=self.args.dataloader_multiprocessing_context,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if ROW not in self._signature_columns:
            self._signature_columns.append(ROW)


class WeightedRowTrainer(RowTrainer, WeightedTrainer):
    """The same for weighted rows."""
