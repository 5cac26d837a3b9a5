"""`select`: keep the completions worth training on. They were judged when they were drawn, and are not judged again."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from orchestrator.errors import StageError
from orchestrator.schema import Positive
from orchestrator.stages.base import Bounds, Drawing, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import digest
from orchestrator.store.names import CHOSEN
from orchestrator.store.tables import read_stored
from orchestrator.tasks import Task
from orchestrator.types import DataUsed

_READ = ("example_id", "draw", "text", "finish_reason", "status")
SCHEMA = pa.schema({"example_id": pa.string(), "draw": pa.int64(), "text": pa.string(), "question": pa.string()})


class Select(Verb):
    """Keep the completions worth training on."""

    type: Literal["select"]
    draws: str = Field(alias="from")
    keep: Literal["correct", "random"] = "correct"
    """random: as many rows of each question as `correct` keeps, by lot from its draws, right or wrong: the control."""
    distinct: bool = True
    """Drop completions of a question that differ in white space only."""
    max_per_example: Positive | None = None
    allow_empty: bool = False
    """True: where no draw is correct, go on with none; otherwise that is an error."""

    VERSION = 1
    OUTPUT = CHOSEN
    MAKES = Kind.ROWS
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"draws": Kind.COMPLETIONS}
    IN_DRIVER = True

    def leaves_out(self) -> Mapping[str, str]:
        """What was decided when the completions were drawn, whose key is part of this one."""
        idle = {"format": "completions were cut when they were drawn", "judging": "and judged"}
        return idle if self.keep == "random" else idle | {"seed": "nothing is left to chance"}

    def jobs(self, context: Context) -> list[Job]:
        """None: it is done in `finish`, in well under a second."""
        return []

    def finish(self, context: Context) -> Output:
        """chosen.parquet: example_id, draw, text, question."""
        drawn = read_stored(context.inputs[self.draws], _READ).to_pylist()
        drawing = self.source(context.stages)
        assert drawing is not None
        questions = {e.id: e.question for e in context.task.examples(drawing.split)}
        rows = keep(drawn, self, context.seed)
        if not rows and not self.allow_empty:
            raise StageError(
                f"none of the {len(drawn):,} draws is correct, so there is nothing to train on; look at the "
                f"completions of {self.draws!r} in MLflow: are answers found at all (sampling/answer_rate)? To go on "
                f"all the same, set stages.{context.name}.allow_empty: true"
            )
        table = pa.Table.from_pylist([r | {"question": questions[r["example_id"]]} for r in rows], schema=SCHEMA)
        context.output.mkdir(exist_ok=True)
        path = context.output / CHOSEN
        pq.write_table(table, path)
        per_example = Counter(r["example_id"] for r in rows)
        metrics: dict[str, float] = {"rows": len(rows), "questions": len(per_example)}
        figure = f"{len(rows):,} rows of {len(per_example):,} questions" if rows else "0 rows: no draw was correct"
        if rows:
            metrics["rows_per_question"] = len(rows) / len(per_example)
        if rows and self.keep == "random":
            metrics["correct_share"] = sum(r["status"] == "correct" for r in rows) / len(rows)
            figure += f", {metrics['correct_share']:.0%} correct"
        used = DataUsed(context.name, "training", digest(path), CHOSEN, len(rows))
        samples = [{"question": questions[r["example_id"]], "completion": r["text"]} for r in rows[:40]]
        return Output(figure, metrics, (used,), samples)

    def source(self, stages: Mapping[str, Verb]) -> Drawing | None:
        """The drawing of its completions."""
        return stages[self.draws].source(stages) if self.draws in stages else None

    def bounds(self, task: Task, stages: Mapping[str, Verb]) -> Bounds:
        """The rows that it may keep."""
        drawing = self.source(stages)
        if drawing is None:
            return Bounds(0, 0)
        each = min(drawing.n, self.max_per_example or drawing.n)
        return Bounds(0 if self.allow_empty else 1, each * len(task.examples(drawing.split)))


def keep(drawn: list[dict[str, Any]], spec: Select, seed: int) -> list[dict[str, Any]]:
    """The rows that are trained on, in the order they were drawn.

    `correct`: the correct draws; of those that differ in white space only the first; at most so many per question.
    `random`: as many rows of each question as `correct` would keep, by lot from its draws, right or wrong, under the
    same rules. A draw that was cut off before its answer has no end to learn and takes no part; one that was cut off
    after it does, here as there. So every correct draw has a lot, and no row is ever short.
    """
    chosen = _first((row for row in drawn if row["status"] == "correct"), spec.distinct, lambda _: spec.max_per_example)
    if spec.keep == "correct":
        return chosen
    wanted = Counter(row["example_id"] for row in chosen)
    lots = sorted((row for row in drawn if _ends(row)), key=lambda row: _lot(seed, row))
    kept = {(row["example_id"], row["draw"]) for row in _first(lots, spec.distinct, wanted.__getitem__)}
    return [row for row in drawn if (row["example_id"], row["draw"]) in kept]


def _first(rows: Iterable[dict[str, Any]], distinct: bool, most: Callable[[str], int | None]) -> list[dict[str, Any]]:
    """The first rows of each question, `most(question)` of them; None: all."""
    kept: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    per_example: Counter[str] = Counter()
    for row in rows:
        text = (row["example_id"], " ".join(row["text"].split()))
        if distinct and text in seen:
            continue
        limit = most(row["example_id"])
        if limit is not None and per_example[row["example_id"]] >= limit:
            continue
        seen.add(text)
        per_example[row["example_id"]] += 1
        kept.append(row)
    return kept


def _ends(row: dict[str, Any]) -> bool:
    return row["finish_reason"] == "stop" or row["status"] in ("correct", "wrong")


def _lot(seed: int, row: dict[str, Any]) -> bytes:
    """Where a draw comes in the order by lot; it depends on the recipe's seed and on which draw it is alone."""
    return hashlib.sha256(f"select\0{seed}\0{row['draw']}\0{row['example_id']}".encode()).digest()
