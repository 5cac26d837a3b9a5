"""Reads the tables that stages wrote; a damaged file is reported in one line that names it. Knows no store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.errors import DataError

_BUFFER = 2**20
"""Bytes of a column that are read at once: without a limit, a whole row group is read.

Requires `pre_buffer` to be off: data read ahead is kept until the file is closed, and in the end it is the whole file.
"""
_FIX = "restore it from a copy, or remove it and run the recipe again"


def readable(path: Path) -> Path:
    """The path of a parquet file whose beginning and end are intact; its rows are not read.

    Raises:
        DataError: it is missing, cut off or damaged.
    """
    with _told(path):
        pq.read_metadata(path)
    return path


def read_stored(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A stage's parquet file, or some of its columns.

    Raises:
        DataError: it is missing, cut off, damaged, or has no such columns.
    """
    with _told(path):
        names = pq.read_schema(path).names
        missing = [name for name in columns or () if name not in names]
        wanted = None if columns is None else [name for name in columns if name in names]
        table = pq.read_table(path, columns=wanted)
        table.validate(full=True)
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; {_FIX}")
    return table


def first_answers(path: Path, columns: Sequence[str]) -> pa.Table:
    """These columns of an evaluation's results, one row per question: its first answer, if it has several.

    Raises:
        DataError: see `read_stored`.
    """
    with _told(path):
        several = "draw" in pq.read_schema(path).names
    if not several:
        return read_stored(path, columns)
    table = read_stored(path, [*columns, "draw"])
    return table.filter(pc.equal(table["draw"], 0)).select(list(columns))


def rows_of(path: Path) -> int:
    """Number of rows in a stage's parquet file. Raises DataError like `readable`."""
    with _told(path):
        return int(pq.read_metadata(path).num_rows)


def batches_of(path: Path, columns: Sequence[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """A stage's parquet file, or some of its columns, in batches of rows. Raises DataError like `read_stored`."""
    with _told(path), pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        if missing := [name for name in columns or () if name not in file.schema_arrow.names]:
            raise DataError(f"{path} has no column {', '.join(missing)}; {_FIX}")
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            batch.validate(full=True)
            yield batch


def rows_between(path: Path, begin: int, end: int, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some rows of a stage's parquet file, by position; only the row groups that contain them are read.

    Raises:
        DataError: see `read_stored`.
    """
    with _told(path), pq.ParquetFile(path) as file:
        at = first = 0
        groups: list[int] = []
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if at < end and at + rows > begin:
                first = first if groups else at
                groups.append(group)
            at += rows
        table = file.read_row_groups(groups, columns=list(columns))
        return list(table.slice(begin - first, end - begin).to_pylist())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged file into one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_FIX}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
        why = lines[0].rstrip(".")[:200] if lines else type(error).__name__
        raise DataError(f"{path} is damaged and cannot be read: {why}; {_FIX}") from None
