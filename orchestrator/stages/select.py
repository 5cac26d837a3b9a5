"""`select`: keep the completions worth training on. They were judged when they were drawn, and are not judged again."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from orchestrator.errors import StageError
from orchestrator.sampling.completions import whole_questions, writing
from orchestrator.schema import Positive
from orchestrator.stages.base import Bounds, Drawing, Kind, Verb
from orchestrator.stages.context import Context, Job, Output
from orchestrator.stages.drawing import digest
from orchestrator.store.names import CHOSEN
from orchestrator.store.tables import batches_of
from orchestrator.tasks import Task
from orchestrator.tasks.splits import Split
from orchestrator.types import DataUsed

_READ = ("example_id", "draw", "text", "finish_reason", "status")
SCHEMA = pa.schema({"example_id": pa.string(), "draw": pa.int64(), "text": pa.string(), "question": pa.string()})
_SHOWN = 40
"""Rows in the table of samples."""


class Select(Verb):
    """Keep the completions worth training on."""

    type: Literal["select"]
    draws: str = Field(alias="from")
    """The sample stage whose completions are selected from."""
    keep: Literal["correct", "random"] = "correct"
    """random: as many rows of each question as `correct` keeps, by lot from its draws, right or wrong: the control."""
    distinct: bool = True
    """Drop completions of a question that differ in white space only."""
    max_per_example: Positive | None = None
    """Rows of one question at the most; default: all that are kept."""
    allow_empty: bool = False
    """True: where no draw is correct, go on with none; otherwise that is an error."""

    VERSION = 1
    OUTPUT = CHOSEN
    MAKES = Kind.ROWS
    REFERENCES: ClassVar[Mapping[str, Kind]] = {"draws": Kind.COMPLETIONS}
    ON_GPU = False

    def leaves_out(self) -> Mapping[str, str]:
        """What was decided when the completions were drawn, whose key is part of this one."""
        idle = {"format": "completions were cut when they were drawn", "judging": "and judged"}
        return idle if self.keep == "random" else idle | {"seed": "nothing is left to chance"}

    def jobs(self, context: Context) -> list[Job]:
        """None: `finish` does all of it."""
        return []

    def splits_read(self, stages: Mapping[str, Verb]) -> set[Split]:
        """The questions that were drawn for."""
        drawing = self.source(stages)
        assert drawing is not None
        return {drawing.split}

    def finish(self, context: Context) -> Output:
        """chosen.parquet: example_id, draw, text, question; a piece of the completions is in memory at a time."""
        [split] = self.splits_read(context.stages)
        examples = context.task.examples(split)
        ids = pa.array([e.id for e in examples], pa.string())
        questions = pa.array([e.question for e in examples], pa.string())
        path = context.output / CHOSEN
        drawn = rows = asked = correct = 0
        samples: list[dict[str, Any]] = []
        with writing(path, SCHEMA) as out:
            for table in whole_questions(batches_of(context.inputs[self.draws], _READ)):
                kept = table.take(keep(table, self, context.seed))
                drawn += table.num_rows
                rows += kept.num_rows
                asked += pc.count_distinct(kept["example_id"]).as_py()
                correct += pc.sum(pc.equal(kept["status"], "correct")).as_py() or 0
                kept = kept.append_column("question", questions.take(pc.index_in(kept["example_id"], ids)))
                out.write_table(kept.select(SCHEMA.names).cast(SCHEMA))
                shown = kept.slice(0, _SHOWN - len(samples)).select(["question", "text"])
                samples += shown.rename_columns(["question", "completion"]).to_pylist()
            if not rows and not self.allow_empty:
                raise StageError(
                    f"none of the {drawn:,} draws is correct, so there is nothing to train on; look at the "
                    f"completions of {self.draws!r} in MLflow: are answers found at all (sampling/answer_rate)? To go "
                    f"on all the same, set stages.{context.name}.allow_empty: true"
                )
        metrics: dict[str, float] = {"rows": rows, "questions": asked}
        figure = f"{rows:,} rows of {asked:,} questions" if rows else "0 rows: no draw was correct"
        if rows:
            metrics["rows_per_question"] = rows / asked
        if rows and self.keep == "random":
            metrics["correct_share"] = correct / rows
            figure += f", {metrics['correct_share']:.0%} correct"
        used = DataUsed(context.name, "training", digest(path), CHOSEN, rows)
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


def keep(table: pa.Table, spec: Select, seed: int) -> NDArray[np.int64]:
    """The places of the rows that are trained on, in their order. All draws of each question are in the table.

    `correct`: the correct draws; of those that differ in white space only the first; at most so many per question.
    `random`: as many rows of each question as `correct` would keep, by lot from its draws, right or wrong, under the
    same rules. A draw that was cut off before its answer has no end to learn and takes no part; one that was cut off
    after it does, here as there. So every correct draw has a lot, and no row is ever short.
    """
    rows = _Rows(table)
    correct: list[int] = np.flatnonzero(pc.equal(table["status"], "correct")).tolist()
    chosen = rows.first(correct, spec.distinct, lambda _: spec.max_per_example)
    if spec.keep == "correct":
        return np.array(chosen, dtype=np.int64)
    wanted = Counter(rows.questions[place] for place in chosen)
    answered = pc.is_in(table["status"], pa.array(["correct", "wrong"]))
    ends: list[int] = np.flatnonzero(pc.or_(pc.equal(table["finish_reason"], "stop"), answered)).tolist()
    lots = sorted((place for place in ends if wanted[rows.questions[place]]), key=lambda place: rows.lot(place, seed))
    kept = {rows.draw(place) for place in rows.first(lots, spec.distinct, wanted.__getitem__)}
    return np.array([place for place in range(table.num_rows) if rows.draw(place) in kept], dtype=np.int64)


class _Rows:
    """The rows of a table by their places; a text becomes a Python object only where it is compared."""

    def __init__(self, table: pa.Table) -> None:
        encoded = table["example_id"].combine_chunks().dictionary_encode()
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.questions: list[int] = encoded.indices.to_pylist()
        """For each row the place of its question in `names`."""
        self._draws: list[int] = table["draw"].to_pylist()
        self._texts = table["text"].combine_chunks()

    def draw(self, place: int) -> tuple[int, int]:
        """Which draw of which question a row is."""
        return self.questions[place], self._draws[place]

    def lot(self, place: int, seed: int) -> bytes:
        """Where a row comes in the order by lot; it depends on the recipe's seed and on which draw it is alone."""
        name = self.names[self.questions[place]]
        return hashlib.sha256(f"select\0{seed}\0{self._draws[place]}\0{name}".encode()).digest()

    def first(self, places: Iterable[int], distinct: bool, most: Callable[[int], int | None]) -> list[int]:
        """The first rows of each question, `most(question)` of them; None: all."""
        kept: list[int] = []
        seen: set[tuple[int, str]] = set()
        per_question: Counter[int] = Counter()
        for place in places:
            question = self.questions[place]
            limit = most(question)
            if limit is not None and per_question[question] >= limit:
                continue
            if distinct:
                text = (question, " ".join(self._texts[place].as_py().split()))
                if text in seen:
                    continue
                seen.add(text)
            per_question[question] += 1
            kept.append(place)
        return kept
