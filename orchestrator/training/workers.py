"""The workers that train one model together: which of them this is, what they agree on, and whose rows are whose.

One worker trains alone where nothing has joined it to others. What is written is written by the first.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import torch.distributed as dist
from torch.utils.data import Sampler

T = TypeVar("T")


def number() -> int:
    """Of this worker, from 0."""
    return int(dist.get_rank()) if _joined() else 0


def count() -> int:
    """How many train together."""
    return int(dist.get_world_size()) if _joined() else 1


def is_first() -> bool:
    """Whether this worker writes what is written."""
    return not number()


def as_the_first(value: T) -> T:
    """What the first worker gives; all must ask."""
    if count() == 1:
        return value
    given: list[Any] = [value]
    dist.broadcast_object_list(given, src=0)
    return given[0]  # type: ignore[no-any-return]


def meet() -> None:
    """Wait until all workers are here."""
    if count() > 1:
        dist.barrier()


def another_is_lost(error: Exception) -> bool:
    """Whether an error only says that another worker is gone."""
    said = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in said or "nccl" in said


def _joined() -> bool:
    return bool(dist.is_available() and dist.is_initialized())


class Batches(Protocol):
    """What torch's BatchSampler is."""

    sampler: Any

    def __iter__(self) -> Iterator[list[int]]: ...
    def __len__(self) -> int: ...


class OwnRows(Sampler[list[int]]):  # type: ignore[misc]
    """The rows of one worker in the batches that one worker alone would take, in their order.

    `dealt` batches in a row make one step's forward pass of all workers: each goes to as many workers as share a batch,
    and each of these takes an equal part of it. Where a batch is missing at the end of an epoch, or has too few rows, a
    worker takes the row `nothing`, which has no label, so that all workers take equally many steps and no row counts
    twice.
    """

    def __init__(self, batches: Batches, rows: int, worker: int, workers: int, dealt: int, nothing: int) -> None:
        """`rows`: of a whole batch."""
        self.batch_sampler = self  # the trainer tells what is called so which epoch begins
        self.batches, self.dealt, self.nothing = batches, dealt, nothing
        self.share = workers // dealt
        self.turn, self.part, self.rows = worker // self.share, worker % self.share, rows // self.share

    def set_epoch(self, epoch: int) -> None:
        """Which epoch begins: it decides the order of the rows."""
        if hasattr(self.batches.sampler, "set_epoch"):
            self.batches.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.batches) // self.dealt)

    def __iter__(self) -> Iterator[list[int]]:
        mine: list[int] | None = None
        place = 0
        for batch in self.batches:
            if place == self.turn:
                mine = batch[self.part * self.rows : (self.part + 1) * self.rows]
            place += 1
            if place == self.dealt:
                yield mine or [self.nothing]
                mine, place = None, 0
        if place:
            yield mine or [self.nothing]
