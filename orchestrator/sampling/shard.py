"""A shard: so many completions, drawn, judged and written to one parquet file. The unit of work that is never lost.

Shards are cut by the recipe, never by the workers at hand, and a shard's file appears whole or not at all.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.answering import answer
from orchestrator.sampling.engine import Decoding, Engine
from orchestrator.tasks import Task
from orchestrator.types import Completion, Example, Verdict

SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("draw", pa.int32()),
        ("text", pa.string()),
        ("n_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("status", pa.string()),
        ("value", pa.string()),
        ("score", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What a worker needs to make one shard."""

    path: Path
    model: ModelRef
    engine: str
    task: Task
    examples: tuple[Example, ...]
    draws: range
    decoding: Decoding
    seed: int
    cpus: int


def cut(examples: Sequence[Example], n: int, batch_size: int) -> list[tuple[tuple[Example, ...], range]]:
    """Cut questions x draws into shards of at most `batch_size` rows; a question's draws stay together if they fit."""
    per_shard = max(1, batch_size // n)
    per_call = min(n, batch_size)
    return [
        (tuple(examples[start : start + per_shard]), range(first, min(n, first + per_call)))
        for start in range(0, len(examples), per_shard)
        for first in range(0, n, per_call)
    ]


def run_shard(job: ShardJob) -> float:
    """Make one shard; seconds it took. A shard that is there already is not made again."""
    started = time.monotonic()
    if not job.path.exists():
        engine = _engine(job.engine, job.model, job.cpus)
        write(job.path, answer(engine, job.task, job.examples, job.draws, job.decoding, job.seed))
    return time.monotonic() - started


def write(path: Path, rows: Sequence[tuple[Completion, Verdict]]) -> None:
    """Write judged completions under a temporary name, then rename."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for c, v in rows:
        value = v.value and _utf8(v.value)
        row = (c.example_id, c.draw, _utf8(c.text), c.n_tokens, c.finish_reason, v.status, value, v.score)
        for name, cell in zip(SCHEMA.names, row, strict=True):
            columns[name].append(cell)
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    pq.write_table(pa.table(columns, schema=SCHEMA), temporary)
    temporary.replace(path)


def _utf8(text: str) -> str:
    """Lone surrogates cannot be stored: they become U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_loaded: dict[tuple[str, ModelRef], Engine] = {}
"""The engine this worker has at hand: shards of one model come one after another."""


def _engine(name: str, model: ModelRef, cpus: int) -> Engine:
    import torch

    from orchestrator.sampling.engines import make_engine

    torch.set_num_threads(cpus)
    if (name, model) not in _loaded:
        _loaded.clear()
        _loaded[name, model] = make_engine(name, model)
    return _loaded[name, model]
