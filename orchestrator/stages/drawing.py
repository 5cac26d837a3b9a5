"""What sampling and evaluation share: the same shards, the same engines, the same judge; only the decoding differs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.errors import DataError
from orchestrator.sampling.completions import Summary
from orchestrator.stages.base import Drawing
from orchestrator.stages.context import Context, Job
from orchestrator.store.tables import readable as whole
from orchestrator.tasks.base import Task
from orchestrator.tasks.splits import Split
from orchestrator.text import plain
from orchestrator.training.watch import answer_rate_zero
from orchestrator.types import BASE, Example, Finding

_SHOWN = 4_000
"""Characters of a text that a table of samples shows."""


def shard_jobs(
    context: Context,
    drawing: Drawing,
    batch_size: int,
    engine: str,
) -> list[Job]:
    """One job for each shard that is not there yet."""
    from orchestrator.sampling.engine import Decoding
    from orchestrator.sampling.shard import ShardJob, cut

    model = context.model(context.model_name)
    stop, seed, cpus = context.task.format.stop, context.seed, context.cpus
    how = Decoding(drawing.temperature, drawing.top_p, drawing.max_tokens, stop=stop)
    jobs = []
    examples = context.task.examples(drawing.split)
    budget = drawing.budget
    for index, (questions, draws) in enumerate(cut(examples, drawing.n, batch_size, together=budget is not None)):
        path = context.work / f"shard-{index:06d}.parquet"
        if not _whole(path):
            job = ShardJob(path, model, engine, context.task, questions, draws, how, seed, cpus, budget)
            jobs.append(Job(_run_shard, job, len(questions) * len(draws), path))
    return jobs


def _whole(shard: Path) -> bool:
    """Whether a shard is there. One that was cut off, as a power failure leaves them, is drawn again."""
    if not shard.exists():
        return False
    try:
        whole(shard)
    except DataError:
        shard.unlink()
        return False
    return True


def _run_shard(job: Any) -> float:
    from orchestrator.sampling.shard import run_shard

    return run_shard(job)


def silent(context: Context, counted: Summary, first: str) -> tuple[Finding, ...]:
    """The finding for a trained model none of whose completions holds an answer; `first` is one of them."""
    if context.model_name == BASE or counted.answered:
        return ()
    return (answer_rate_zero(counted.n, counted.statuses["truncated"], first),)


def readable(table: pa.Table, examples: Sequence[Example], rows: int) -> list[dict[str, Any]]:
    """The first rows as a person reads them: question, what was expected, what came, what was made of it."""
    shown = set(table["example_id"].slice(0, rows).to_pylist())
    by_id = {e.id: e for e in examples if e.id in shown}
    return [
        {
            "question": _cell(by_id[row["example_id"]].question),
            "expected": _cell(by_id[row["example_id"]].answer),
            "completion": _cell(row["text"]),
            "parsed": _cell("" if row["value"] is None else row["value"]),
            "status": row["status"],
        }
        for row in table.slice(0, rows).to_pylist()
    ]


def _cell(value: object) -> str:
    """What is in a table that people look at: no control characters, and a length that a page can show."""
    text = plain(str(value)[:_SHOWN])
    return text if len(str(value)) <= _SHOWN else f"{text} … ({len(str(value)):,} characters; the parquet has all)"


def split_digest(task: Task, split: Split) -> str:
    """16 hex digits that tell a task's split by the questions it holds: the same for every model that is asked it."""
    return hashlib.sha256(str(task.fingerprint(split)).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
