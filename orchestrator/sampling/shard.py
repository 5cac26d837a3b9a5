"""A shard: a number of completions, drawn, judged and written to one parquet file. The unit of work that is never lost.

Shards are cut by the recipe, never by the workers at hand, and a shard's file appears whole or not at all.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.models.reference import ModelRef
from orchestrator.sampling.answering import answer
from orchestrator.sampling.budget import DrawBudget, Judged, drawn_within
from orchestrator.sampling.completions import write
from orchestrator.sampling.engine import Decoding, Engine
from orchestrator.tasks import Task
from orchestrator.types import Example


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
    budget: DrawBudget | None = None
    """How as many draws as there are in all are spread over the questions; None: evenly."""


def cut(
    examples: Sequence[Example], n: int, batch_size: int, together: bool = False
) -> list[tuple[tuple[Example, ...], range]]:
    """Cut questions x draws into shards of at most `batch_size` rows.

    A question's draws stay together if they fit, or have to: `together`.
    """
    per_shard = max(1, batch_size // n)
    per_call = n if together else min(n, batch_size)
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

        def draw(examples: Sequence[Example], draws: range) -> list[Judged]:
            return answer(engine, job.task, examples, draws, job.decoding, job.seed)

        if job.budget is None:
            made = draw(job.examples, job.draws)
        else:
            made = drawn_within(job.budget, len(job.examples) * len(job.draws), job.examples, draw)
        write(job.path, made)
    return time.monotonic() - started


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
