"""A shard: so many completions, drawn, judged and written to one parquet file. The unit of work that is never lost.

Shards are cut by the recipe, never by the workers at hand, and a shard's file appears whole or not at all.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.answers.tokens import completion_text, prompt_ids
from orchestrator.model_ref import ModelRef
from orchestrator.sampling.engine import Decoding, Engine, Request
from orchestrator.tasks import Task
from orchestrator.tasks.judging import verdicts
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


def draw_seed(seed: int, example_id: str, draw: int) -> int:
    """64 bits that depend on the recipe's seed, the example and the number of the draw alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{draw}\0{example_id}".encode()).digest()[:8])


def run_shard(job: ShardJob) -> float:
    """Make one shard; seconds it took. A shard that is there already is not made again."""
    started = time.monotonic()
    if not job.path.exists():
        engine = _engine(job.engine, job.model, job.cpus)
        write(job.path, _draw(job, engine))
    return time.monotonic() - started


def _draw(job: ShardJob, engine: Engine) -> list[tuple[Completion, Verdict]]:
    pairs = [(example, draw) for example in job.examples for draw in job.draws]
    prompts = {e.id: tuple(prompt_ids(engine.tokenizer, job.task.format, e.question)) for e in job.examples}
    requests = [Request(prompts[e.id], draw_seed(job.seed, e.id, draw)) for e, draw in pairs]
    completions = []
    for (example, draw), made in zip(pairs, engine.generate(requests, job.decoding), strict=True):
        text = job.task.format.cut(completion_text(engine.tokenizer, list(made.ids)))
        completions.append(Completion(example.id, draw, text, len(made.ids), made.finish_reason))
    items = [(c.text, e.answer, c.finish_reason) for c, (e, _) in zip(completions, pairs, strict=True)]
    judged = verdicts(job.task, items)
    return list(zip(completions, judged, strict=True))


def write(path: Path, rows: Sequence[tuple[Completion, Verdict]]) -> None:
    """Write judged completions under a temporary name, then rename."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for c, v in rows:
        value = v.value and _utf8(v.value)
        row = (c.example_id, c.draw, _utf8(c.text), c.n_tokens, c.finish_reason, v.status, value)
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

    from orchestrator.sampling.engines import ENGINES

    torch.set_num_threads(cpus)
    if (name, model) not in _loaded:
        _loaded.clear()
        _loaded[name, model] = ENGINES[name](model)
    return _loaded[name, model]
