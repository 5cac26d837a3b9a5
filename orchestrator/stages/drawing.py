"""The common part of sampling and evaluation: the same shards, engines and judge; only the decoding differs."""

import hashlib
from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, JsonValue, model_validator

from orchestrator.errors import DataError
from orchestrator.sampling.completions import Summary
from orchestrator.sampling.engines import AUTO, ENGINES, EngineName, loaded
from orchestrator.stages.base import Drawing, Verb
from orchestrator.stages.context import Context, Job
from orchestrator.store.tables import readable as whole
from orchestrator.store.tables import rows_of
from orchestrator.tasks.base import Task
from orchestrator.tasks.splits import Split
from orchestrator.text import plain
from orchestrator.training.watch import answer_rate_zero
from orchestrator.types import BASE, Example, Finding

_SHOWN = 4_000
"""Maximum characters of a text in a table of samples."""
_TOGETHER = 64
"""Maximum number of shards per job."""


class Writing(Verb, ABC):
    """A verb that generates text with a model: the engine and its settings."""

    engine: EngineName = Field(default=AUTO, validate_default=True)
    """The engine that generates: `transformers`, `vllm` if it is installed, or `auto`: vllm if it is installed and
    there is a GPU, else transformers."""
    engine_args: dict[str, JsonValue] = Field(default={})
    """The engine's own arguments, under its own names; for vllm, those of its LLM class, such as max_num_seqs."""
    deterministic: bool = False
    """Make vllm compute each draw to the same bits whatever else is in its batch (batch-invariant kernels; slower)."""

    LATER = Verb.LATER | {"engine_args", "deterministic"}

    @model_validator(mode="after")
    def _engine_takes_it(self) -> "Writing":
        if problems := ENGINES[self.engine].problems(self.engine, self.engine_args, self.deterministic):
            raise ValueError("; ".join(problems))
        return self

    def settings(self) -> dict[str, object]:
        """The settings that decide the output; of the engine's arguments, only those that change the generated text."""
        found = super().settings()
        kept = {k: v for k, v in self.engine_args.items() if k in ENGINES[self.engine].in_key}
        found.pop("engine_args", None)
        return found | ({"engine_args": kept} if kept else {})

    def decides_draws(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """All except the judge, the number of draws and their division into shards.

        None with a budget, since the verdicts then decide which draws are made.
        """
        drawing = self.drawing()
        if drawing is None or drawing.budget is not None:
            return None
        settings = {name: value for name, value in payload["settings"].items() if name not in ("n", "batch_size")}
        return {name: value for name, value in payload.items() if name != "judging"} | {"settings": settings}


def shard_jobs(context: Context, verb: Writing, drawing: Drawing, batch_size: int) -> list[Job]:
    """The jobs for the shards that do not exist yet: one shard each, or several if the engine streams."""
    from orchestrator.sampling.engine import Decoding, Room
    from orchestrator.sampling.shard import ShardJob, Stored, cut

    model, kind = context.model(context.model_name), ENGINES[verb.engine]
    room = Room(context.cpus, context.share.gpus, tuple(sorted(verb.engine_args.items())), verb.deterministic)
    stop, seed = context.task.format.stop, context.seed
    how = Decoding(drawing.temperature, drawing.top_p, drawing.max_tokens, stop=stop)
    shards = []
    examples = context.task.examples(drawing.split)
    budget = drawing.budget
    had, rest = (0, 0) if context.drawn is None else divmod(rows_of(context.drawn), len(examples))
    places = {example.id: place for place, example in enumerate(examples)}
    for index, (questions, draws) in enumerate(cut(examples, drawing.n, batch_size, together=budget is not None)):
        path = context.work / f"shard-{index:06d}.parquet"
        if not _whole(path):
            stored = None
            if context.drawn is not None and had and not rest:
                stored = Stored(context.drawn, had * places[questions[0].id], had)
            shards.append(
                ShardJob(path, model, verb.engine, context.task, questions, draws, how, seed, room, budget, stored)
            )
    each = min(_TOGETHER, -(-len(shards) // context.places)) if kind.streams and budget is None else 1
    lots = [shards[begin : begin + each] for begin in range(0, len(shards), max(1, each))]
    engine = loaded(verb.engine, model, room)
    return [
        Job(
            _run_shards,
            lot,
            sum(len(one.examples) * len(one.draws) for one in lot),
            tuple(one.path for one in lot),
            engine,
        )
        for lot in lots
    ]


def _whole(shard: Path) -> bool:
    """Whether a shard is complete. A truncated one, such as after a power failure, is deleted to be drawn again."""
    if not shard.exists():
        return False
    try:
        whole(shard)
    except DataError:
        shard.unlink()
        return False
    return True


def _run_shards(jobs: Any) -> float:
    from orchestrator.sampling.shard import run_shards

    return run_shards(jobs)


class WithoutRoom:
    """Counts completions whose prompt filled the model's whole context."""

    def __init__(self) -> None:
        self._n, self._first = 0, ""

    def add(self, table: pa.Table) -> None:
        """Count those in another table."""
        without = table.filter(pc.and_(pc.equal(table["n_tokens"], 0), pc.equal(table["finish_reason"], "length")))
        if without.num_rows and not self._n:
            self._first = without["example_id"][0].as_py()
        self._n += without.num_rows

    def findings(self, context: Context) -> tuple[Finding, ...]:
        """A finding that names the first one; empty if there are none."""
        if not self._n:
            return ()
        return (
            Finding(
                "prompts-too-long",
                "error",
                f"{self._n:,} completions are empty: their prompts leave {context.model_name} no room for a token",
                f"the first is for question {self._first!r}",
                "the prompt is as long as the model's context, or longer",
                "leave these questions out, shorten the prompt (task.format), or use a model with a longer context",
            ),
        )


def silent(context: Context, counted: Summary, first: str) -> tuple[Finding, ...]:
    """The finding for a trained model none of whose completions contains an answer; `first` is one of them."""
    if context.model_name == BASE or counted.answered:
        return ()
    return (answer_rate_zero(counted.n, counted.statuses["truncated"], first),)


def readable(table: pa.Table, examples: Sequence[Example], rows: int) -> list[dict[str, Any]]:
    """The first rows for a person to read: question, expected answer, completion, parsed answer and status."""
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
    """Text for a table that people read: no control characters, and short enough for a page."""
    text = plain(str(value)[:_SHOWN])
    return text if len(str(value)) <= _SHOWN else f"{text} … ({len(str(value)):,} characters; see the parquet file)"


def split_digest(task: Task, split: Split) -> str:
    """16 hex digits that identify a split by its questions: the same for every model that is evaluated on it."""
    return hashlib.sha256(str(task.fingerprint(split)).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
