"""The workers that train one model together: their ranks, the values they agree on, and the rows each one gets.

A worker that has not joined others trains alone. Only the first worker writes output.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import torch.distributed as dist
from torch.utils.data import Sampler

T = TypeVar("T")


def number() -> int:
    """The rank of this worker, from 0."""
    return int(dist.get_rank()) if _joined() else 0


def count() -> int:
    """Number of workers that train together."""
    return int(dist.get_world_size()) if _joined() else 1


def is_first() -> bool:
    """Whether this is the worker that writes the output."""
    return not number()


def as_the_first(value: T) -> T:
    """The first worker's value; every worker must call this."""
    if count() == 1:
        return value
    given: list[Any] = [value]
    dist.broadcast_object_list(given, src=0)
    return given[0]  # type: ignore[no-any-return]


def meet() -> None:
    """Wait until all workers get here."""
    if count() > 1:
        dist.barrier()


def another_is_lost(error: Exception) -> bool:
    """Whether an error only means that another worker is gone."""
    said = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in said or "nccl" in said


def _joined() -> bool:
    return bool(dist.is_available() and dist.is_initialized())


class Batches(Protocol):
    """The interface of torch's BatchSampler."""

    sampler: Any

    def __iter__(self) -> Iterator[list[int]]: ...
    def __len__(self) -> int: ...


class OwnRows(Sampler[list[int]]):  # type: ignore[misc]
    """One worker's rows from the batches that a single worker would process, in the same order.

    The workers process `dealt` consecutive batches at a time: each batch goes to a group of workers that share it, and
    each of them gets an equal part. If a batch is missing at the end of an epoch, or has too few rows, a worker gets
    the row `nothing`, which has no label, so that all workers take the same number of steps and no row counts twice.
    """

    def __init__(self, batches: Batches, rows: int, worker: int, workers: int, dealt: int, nothing: int) -> None:
        """`rows`: number of rows in a whole batch."""
        self.batch_sampler = self  # the trainer calls set_epoch on the attribute of this name
        self.batches, self.dealt, self.nothing = batches, dealt, nothing
        self.share = workers // dealt
        self.turn, self.part, self.rows = worker // self.share, worker % self.share, rows // self.share

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that begins: it determines the order of the rows."""
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
