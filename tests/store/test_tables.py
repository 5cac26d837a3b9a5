"""Stored tables are read in batches, which are not kept in memory."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.store.tables import batches_of

GROUPS, ROWS, CHARACTERS = 24, 500, 2_000


def test_reading_holds_a_part_of_a_file_however_long_it_is(tmp_path: Path) -> None:
    drawn, path = random.Random(0), tmp_path / "completions.parquet"
    texts = pa.table({"text": [drawn.randbytes(CHARACTERS // 2).hex() for _ in range(ROWS)]})
    with pq.ParquetWriter(path, texts.schema, compression="none") as file:
        for _ in range(GROUPS):
            file.write_table(texts)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in batches_of(path, rows=100):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == GROUPS * ROWS
    assert most < path.stat().st_size / 4
