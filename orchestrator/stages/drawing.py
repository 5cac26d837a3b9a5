"""What sampling and evaluation share: the same shards, the same engines, the same judge; only the decoding differs."""

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
"""Characters of a text that a table of samples shows."""
_TOGETHER = 64
"""Shards that a job makes at the most."""


class Writing(Verb, ABC):
    """A verb that has a model write: by which engine, and how that is set up."""

    engine: EngineName = Field(default=AUTO, validate_default=True)
    """What generates: `transformers`, `vllm` where it is installed, or `auto`: vllm where it is installed and there is
    a GPU, else transformers."""
    engine_args: dict[str, JsonValue] = Field(default={})
    """The engine's own arguments, under its own names: of vllm those of its LLM class, such as max_num_seqs."""
    deterministic: bool = False
    """Have vllm compute each draw to the same bits whatever is drawn beside it (batch-invariant kernels; slower)."""

    LATER = Verb.LATER | {"engine_args", "deterministic"}

    @model_validator(mode="after")
    def _engine_takes_it(self) -> "Writing":
        if problems := ENGINES[self.engine].problems(self.engine, self.engine_args, self.deterministic):
            raise ValueError("; ".join(problems))
        return self

    def settings(self) -> dict[str, object]:
        """As every stage's; of the engine's arguments those alone that change what is written."""
        found = super().settings()
        kept = {k: v for k, v in self.engine_args.items() if k in ENGINES[self.engine].in_key}
        found.pop("engine_args", None)
        return found | ({"engine_args": kept} if kept else {})

    def decides_draws(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """All but how they are judged, how many there are and how they are cut into shards.

        With a budget the verdicts decide which there are.
        """
        drawing = self.drawing()
        if drawing is None or drawing.budget is not None:
            return None
        settings = {name: value for name, value in payload["settings"].items() if name not in ("n", "batch_size")}
        return {name: value for name, value in payload.items() if name != "judging"} | {"settings": settings}


def shard_jobs(context: Context, verb: Writing, drawing: Drawing, batch_size: int) -> list[Job]:
    """The jobs that make the shards which are not there yet: each makes one, or several where the engine streams."""
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
    """Whether a shard is there. One that was cut off, as a power failure leaves them, is drawn again."""
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
    """Counts completions whose prompt filled all of the model's positions."""

    def __init__(self) -> None:
        self._n, self._first = 0, ""

    def add(self, table: pa.Table) -> None:
        """Count these too."""
        without = table.filter(pc.and_(pc.equal(table["n_tokens"], 0), pc.equal(table["finish_reason"], "length")))
        if without.num_rows and not self._n:
            self._first = without["example_id"][0].as_py()
        self._n += without.num_rows

    def findings(self, context: Context) -> tuple[Finding, ...]:
        """The finding that names the first; none where there is none."""
        if not self._n:
            return ()
        return (
            Finding(
                "prompts-too-long",
                "error",
                f"{self._n:,} completions are empty: their prompts leave {context.model_name} no room for a token",
                f"the first is of question {self._first!r}",
                "the prompt has as many tokens as the model can hold, or more",
                "leave these questions out, shorten the prompt (task.format), or take a model that holds more tokens",
            ),
        )


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
