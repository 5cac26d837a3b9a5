"""What sampling and evaluation share: the same shards, the same engines, the same judge; only the decoding differs."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.errors import DataError
from orchestrator.sampling.strict_judge import too_strict
from orchestrator.stages.base import Drawing
from orchestrator.stages.context import Context, Job
from orchestrator.store.tables import read_stored
from orchestrator.tasks.base import Split, Task
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
    for index, (questions, draws) in enumerate(cut(examples, drawing.n, batch_size)):
        path = context.work / f"shard-{index:06d}.parquet"
        if not _whole(path):
            job = ShardJob(path, model, engine, context.task, questions, draws, how, seed, cpus)
            jobs.append(Job(_run_shard, job))
    return jobs


def _whole(shard: Path) -> bool:
    """Whether a shard is there. One that cannot be read, as a power failure leaves them, is drawn again."""
    if not shard.exists():
        return False
    try:
        read_stored(shard)
    except DataError:
        shard.unlink()
        return False
    return True


def _run_shard(job: Any) -> float:
    from orchestrator.sampling.shard import run_shard

    return run_shard(job)


def gather(work: Path) -> pa.Table:
    """All shards of a stage, in the order of its questions."""
    shards = [read_stored(path) for path in sorted(work.glob("shard-*.parquet"))]
    return pa.concat_tables(shards, promote_options="default")  # an older orch's, of a killed run, have no scores


def scores(table: pa.Table) -> list[float]:
    """The score of each completion; of those that were stored without one 1 where it is correct, else 0."""
    by_status = [float(status == "correct") for status in table["status"].to_pylist()]
    if "score" not in table.column_names:
        return by_status
    stored = table["score"].to_pylist()
    return [usual if score is None else score for score, usual in zip(stored, by_status, strict=True)]


def count(table: pa.Table, own_scores: bool = False) -> dict[str, float]:
    """The metrics of judged completions: accuracy with its interval, answer rate, statuses, tokens.

    The mean score too, where a score is not what its status says, or the task has `own_scores`.
    """
    from orchestrator.stats import wilson  # scipy takes its time to load

    statuses = Counter(table["status"].to_pylist())
    n = table.num_rows
    low, high = wilson(statuses["correct"], n)
    tokens, given = sum(table["n_tokens"].to_pylist()), scores(table)
    usual = [status == "correct" for status in table["status"].to_pylist()]
    mean_score = {"mean_score": sum(given) / n} if own_scores or given != usual else {}
    metrics = {
        "accuracy": statuses["correct"] / n,
        "accuracy_low": low,
        "accuracy_high": high,
        "answer_rate": (statuses["correct"] + statuses["wrong"]) / n,
        "n": n,
        "tokens_per_completion": tokens / n,
    }
    return metrics | mean_score | {f"status/{status}": statuses[status] for status in sorted(statuses)}


def silent(context: Context, table: pa.Table, examples: Sequence[Example] = ()) -> tuple[Finding, ...]:
    """The finding for a trained model without answers, or (of these `examples`) without any that its judge takes."""
    statuses = Counter(table["status"].to_pylist())
    answered = statuses["correct"] + statuses["wrong"]
    if context.model_name == BASE or (answered and not examples):
        return ()
    if answered:
        task, golds = context.task, {e.id: e.answer for e in examples}
        pairs = [
            (row["value"], golds[row["example_id"]], row["status"])
            for row in table.select(["example_id", "value", "status"]).to_pylist()
        ]
        strict = None if task.own_verdict else too_strict(context.model_name, task.judge.type, pairs)
        return () if strict is None else (strict,)
    return (answer_rate_zero(table.num_rows, statuses["truncated"], table["text"][0].as_py()),)


def readable(table: pa.Table, examples: Sequence[Example], rows: int) -> list[dict[str, Any]]:
    """The first rows as a person reads them: question, what was expected, what came, what was made of it."""
    by_id = {e.id: e for e in examples}
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
    """What stands in a table that people look at: no control characters, and a length that a page can show."""
    text = plain(str(value)[:_SHOWN])
    return text if len(str(value)) <= _SHOWN else f"{text} … ({len(str(value)):,} characters; the parquet has all)"


def split_digest(task: Task, split: Split) -> str:
    """16 hex digits that tell a task's split by the questions it holds: the same for every model that is asked it."""
    return hashlib.sha256(str(task.fingerprint(split)).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
