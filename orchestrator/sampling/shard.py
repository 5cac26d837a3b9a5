"""A shard: a number of completions, sampled, judged and written to one parquet file. A finished shard is never lost.

The recipe alone decides how work is cut into shards, not the available workers. A shard's file appears complete or not
at all.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StageError
from orchestrator.models.reference import ModelRef
from orchestrator.sampling.answering import answer, judged, requests
from orchestrator.sampling.budget import DrawBudget, Judged, drawn_within
from orchestrator.sampling.completions import write
from orchestrator.sampling.engine import Decoding, Engine, Generated, Room
from orchestrator.store.tables import rows_between
from orchestrator.tasks import Task
from orchestrator.tasks.judging import verdicts
from orchestrator.types import Completion, Example


@dataclass(frozen=True, slots=True)
class Stored:
    """Earlier completions to reuse: the same number for each question, from the first draw on."""

    path: Path
    first: int
    """The row of the first draw of the shard's first question."""
    each: int
    """Number of completions per question."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A worker's inputs for one shard."""

    path: Path
    model: ModelRef
    engine: str
    task: Task
    examples: tuple[Example, ...]
    draws: range
    decoding: Decoding
    seed: int
    room: Room
    budget: DrawBudget | None = None
    """How the total number of draws is spread over the questions; None: evenly."""
    stored: "Stored | None" = None
    """Existing draws of these questions."""


def cut(
    examples: Sequence[Example], n: int, batch_size: int, together: bool = False
) -> list[tuple[tuple[Example, ...], range]]:
    """Cut questions x draws into shards of at most `batch_size` rows.

    A question's draws stay together if they fit; with `together`, always.
    """
    per_shard = max(1, batch_size // n)
    per_call = n if together else min(n, batch_size)
    return [
        (tuple(examples[start : start + per_shard]), range(first, min(n, first + per_call)))
        for start in range(0, len(examples), per_shard)
        for first in range(0, n, per_call)
    ]


def run_shards(jobs: Sequence[ShardJob]) -> float:
    """Run shards of one model that differ only in their questions and draws; returns the seconds taken.

    A shard that already exists is skipped. A shard is judged and written as soon as all of it is sampled, while the
    engine continues with the next one.
    """
    started = time.monotonic()
    todo = [job for job in jobs if not job.path.exists()]
    if todo and todo[0].budget is not None:
        for job in todo:
            _make_within(job, job.budget)
    elif todo:
        _make(todo)
    return time.monotonic() - started


def _make(todo: Sequence[ShardJob]) -> None:
    first = todo[0]
    known = {job.path: _read(job) for job in todo}
    lacking = [job for job in todo if job.draws.stop > _had(job)]
    engine = _engine(first.engine, first.model, first.room) if lacking else None

    def keep(job: ShardJob, made: Sequence[Judged]) -> None:
        old = verdicts(job.task, known[job.path])
        rows = [*zip((completion for completion, _ in known[job.path]), old, strict=True), *made]
        place = {example.id: number for number, example in enumerate(job.examples)}
        write(job.path, sorted(rows, key=lambda row: (place[row[0].example_id], row[0].draw)))

    def judge(job: ShardJob, made: Sequence[Generated]) -> None:
        assert engine is not None
        keep(job, judged(engine, job.task, job.examples, _new(job), made))

    with ThreadPoolExecutor(1, "judge") as beside:
        kept = [beside.submit(keep, job, ()) for job in todo if job not in lacking]
        if engine is not None:
            asked = ((job, requests(engine, job.task, job.examples, _new(job), job.seed)) for job in lacking)
            for job, made in engine.stream(asked, first.decoding):
                kept.append(beside.submit(judge, job, made))
                for one in [one for one in kept if one.done()]:
                    one.result()  # if one cannot be written, the others need not be sampled
        for one in kept:
            one.result()


def _had(job: ShardJob) -> int:
    return 0 if job.stored is None else job.stored.each


def _new(job: ShardJob) -> range:
    """The draws that do not exist yet."""
    return range(max(job.draws.start, _had(job)), job.draws.stop)


def _read(job: ShardJob) -> list[tuple[Completion, Example]]:
    """The existing draws of a shard, each with its question.

    Raises:
        StageError: they do not belong to the shard's questions.
    """
    stored = job.stored
    if stored is None or job.draws.start >= stored.each:
        return []
    last = stored.first + len(job.examples) * stored.each
    rows = rows_between(stored.path, stored.first, last, ("example_id", "text", "n_tokens", "finish_reason"))
    found = []
    for number, example in enumerate(job.examples):
        for draw in range(job.draws.start, min(job.draws.stop, stored.each)):
            row = rows[number * stored.each + draw]
            if row["example_id"] != example.id:
                raise StageError(f"{stored.path} does not have the draws of {example.id!r} where they should be")
            made = Completion(example.id, draw, row["text"], row["n_tokens"], row["finish_reason"])
            found.append((made, example))
    return found


def _make_within(job: ShardJob, budget: DrawBudget | None) -> None:
    """Run a shard whose draws are spread over its questions according to their verdicts."""
    assert budget is not None
    engine = _engine(job.engine, job.model, job.room)

    def draw(examples: Sequence[Example], draws: range) -> list[Judged]:
        return answer(engine, job.task, examples, draws, job.decoding, job.seed)

    write(job.path, drawn_within(budget, len(job.examples) * len(job.draws), job.examples, draw))


_loaded: list[tuple[str, Room, Engine]] = []
"""This worker's loaded engine, if any: shards of one model come one after another."""


def _engine(name: str, model: ModelRef, room: Room) -> Engine:
    import torch

    from orchestrator.models.loading import free_memory
    from orchestrator.sampling.engines import make_engine

    torch.set_num_threads(room.cpus)
    if _loaded and _loaded[0][:2] == (name, room) and _loaded[0][2].turned_to(model):
        return _loaded[0][2]
    _loaded.clear()
    free_memory()  # before the next is loaded
    began = time.monotonic()
    _loaded.append((name, room, make_engine(name, model, room)))
    logging.getLogger("orch").info("loaded %s with %s in %.1f s", model.name, name, time.monotonic() - began)
    return _loaded[0][2]
