"""The training data of a fine-tuning, as a worker gets it: pairs, and files of pairs, read in batches.

Tables built from them are on disk and mapped into memory, so memory use does not depend on the number of rows.
"""

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import overload

import pyarrow as pa

from orchestrator.store.tables import batches_of

Pair = tuple[str, str]
"""A question, and the target that a model learns to write."""
Rows = tuple[Pair | Path, ...]
"""Training data in order: pairs, and parquet files of rows with a `question` and a `text`."""

_AT_ONCE = 1024
_SCHEMA = pa.schema({"question": pa.string(), "target": pa.string()})


def batches(rows: Rows, at_once: int = _AT_ONCE) -> Iterator[pa.RecordBatch]:
    """The `question` and `target` of all pairs, in order, at most `at_once` at a time.

    Raises:
        DataError: a file is missing or damaged.
    """
    for is_file, group in groupby(rows, lambda row: isinstance(row, Path)):
        if is_file:
            for file in group:
                for batch in batches_of(file, ("question", "text"), at_once):  # type: ignore[arg-type]
                    yield pa.record_batch([batch["question"], batch["text"]], _SCHEMA)
        else:
            while part := list(islice(group, at_once)):
                yield pa.record_batch([pa.array(column, pa.string()) for column in zip(*part, strict=True)], _SCHEMA)


def on_disk(schema: pa.Schema, made: Iterable[pa.RecordBatch], folder: Path) -> pa.Table:
    """A table whose rows are in a file in `folder` and are read from there on access.

    The file has no name, so it disappears with the table, however the process ends.
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
    """The pairs of all sources by index; stored on disk."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        self._table = on_disk(_SCHEMA, batches(rows), folder)

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
