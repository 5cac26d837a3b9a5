"""What a fine-tuning is trained on, as it comes to a worker: pairs, and files of them. They are read in batches.

What is made of them lies on the disk and is mapped into memory, so the number of rows decides no process's memory.
"""

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import pyarrow as pa

from orchestrator.store.tables import batches_of

Pair = tuple[str, str]
"""A question, and the target that a model learns to write."""
Rows = tuple[Pair | Path, ...]
"""What is trained on, in order: pairs, and parquet files of rows with a `question` and a `text`."""

_AT_ONCE = 1024


def batches(rows: Rows, at_once: int = _AT_ONCE) -> Iterator[list[Pair]]:
    """The pairs of all sources, in order, at most so many at a time.

    Raises:
        DataError: a file is missing or damaged.
    """
    held: list[Pair] = []
    for row in rows:
        if isinstance(row, Path):
            if held:
                yield held
            held = []
            for batch in batches_of(row, ("question", "text"), at_once):
                yield list(zip(batch["question"].to_pylist(), batch["text"].to_pylist(), strict=True))
        else:
            held.append(row)
            if len(held) == at_once:
                yield held
                held = []
    if held:
        yield held


def on_disk(schema: pa.Schema, made: Iterable[pa.RecordBatch], folder: Path) -> pa.Table:
    """A table whose rows lie in a file in `folder`, and are read from there when they are looked at.

    The file has no name: it is gone with the table, however the process ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_stream(file, schema) as stream:
            for batch in made:
                stream.write_batch(batch)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()


class Pairs(Sequence[Pair]):
    """The pairs of all sources by their number; they lie on the disk."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        schema = pa.schema({"question": pa.string(), "target": pa.string()})
        made = (pa.record_batch(list(zip(*part, strict=True)), schema) for part in batches(rows))
        self._table = on_disk(schema, made, folder)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, place: int) -> Pair: ...
    @overload
    def __getitem__(self, place: slice) -> list[Pair]: ...
    def __getitem__(self, place: int | slice) -> Pair | list[Pair]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self._table["question"][place].as_py(), self._table["target"][place].as_py()
