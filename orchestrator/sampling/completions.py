"""Stored completions: their schema, how their files are written and read, and their summary statistics.

Completions are one or more parquet files. Rows are in question order, and the draws of a question are consecutive. They
are read a piece at a time, so memory use does not depend on their number. An evaluation's results have the same columns
plus the question and its gold answer, and `draw` only if a question has several answers.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestrator.errors import DataError
from orchestrator.store.tables import batches_of
from orchestrator.types import Completion, Verdict

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
RESULTS_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        *(SCHEMA.field(name) for name in ("text", "value", "status", "n_tokens", "finish_reason", "score")),
    ]
)
"""The schema of an evaluation's results."""
SHARDS = "shard-*.parquet"
"""The files written by a stage's workers; sorted by name, they are its completions."""

_ROWS = 10_000
_BYTES = 32 * 2**20
"""Rows and bytes per piece, whichever is reached first; a question with more draws is still one piece."""
_APART = 1_000_000
"""Offset between the draw numbers of files that are merged: more than the draws of any question."""
_NORMAL = 1.959964
"""The normal quantile of a two-sided 95% interval."""


# --- writing


def write(path: Path, rows: Sequence[tuple[Completion, Verdict]]) -> None:
    """Write judged completions under a temporary name, then rename."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for c, v in rows:
        value = v.value and _utf8(v.value)
        row = (c.example_id, c.draw, _utf8(c.text), c.n_tokens, c.finish_reason, v.status, value, v.score)
        for name, cell in zip(SCHEMA.names, row, strict=True):
            columns[name].append(cell)
    temporary = _temporary(path)
    pq.write_table(pa.table(columns, schema=SCHEMA), temporary)
    temporary.replace(path)


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A parquet file to write table by table; it gets its name once all are written, and is removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            yield writer
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _temporary(path: Path) -> Path:
    return path.with_suffix(f".tmp{os.getpid()}")


def _utf8(text: str) -> str:
    """The text with lone surrogates, which cannot be stored, replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# --- reading


def shards(work: Path) -> Iterator[pa.RecordBatch]:
    """The rows of all shards in a stage's work folder, in question order.

    Raises:
        DataError: a shard is damaged. It is removed, so that the next run samples it again.
    """
    for path in sorted(work.glob(SHARDS)):
        try:
            yield from (_scored(batch) for batch in batches_of(path))
        except DataError as error:
            path.unlink(missing_ok=True)
            why = error.problems[0].partition("; ")[0]
            raise DataError(f"{why}; it has been removed: run the same command again to repeat its draws") from None


def _scored(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with a score column: shards of an older orch, left by a killed run, have none."""
    if "score" in batch.schema.names:
        return batch
    return batch.append_column("score", pc.equal(batch["status"], "correct").cast(pa.float32()))


def whole_questions(batches: Iterable[pa.RecordBatch], rows: int = _ROWS) -> Iterator[pa.Table]:
    """The same rows in pieces of at least `rows` rows or 32 MB; all draws of a question are in one piece.

    Raises:
        DataError: the draws of a question are not consecutive.
    """
    held: list[pa.RecordBatch] = []
    passed: set[str] = set()
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) < rows and sum(b.nbytes for b in held) < _BYTES:
            continue
        table = pa.Table.from_batches(held)
        others = np.flatnonzero(pc.not_equal(table["example_id"], table["example_id"][-1]))
        if len(others):
            begins = int(others[-1]) + 1
            yield _new(table.slice(0, begins), passed)
            held = table.slice(begins).to_batches()
    if held:
        yield _new(pa.Table.from_batches(held), passed)


def put_side_by_side(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The merged rows of several files, in pieces as from `whole_questions`; all files have the same question order.

    A question's draws from the second file follow those from the first, numbered from 1,000,000, and so on.

    Raises:
        DataError: a file lacks questions that the first one has.
    """
    first, *others = (_Pieces(path, columns) for path in paths)
    for table in first.pieces:
        wanted = pc.unique(table["example_id"])
        parts = [table]
        for number, other in enumerate(others, 1):
            found = other.of(wanted)
            draws = pc.add(found["draw"], number * _APART).cast(table.schema.field("draw").type)
            parts.append(found.set_column(found.schema.get_field_index("draw"), "draw", draws))
        together = pa.concat_tables(parts)
        places = pc.index_in(together["example_id"], wanted).to_numpy()
        yield together.take(np.argsort(places, kind="stable")) if others else table


class _Pieces:
    """A file of completions, read only as far as its questions are requested."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.pieces = path, whole_questions(batches_of(path, columns))
        self._held: pa.Table | None = None

    def of(self, questions: pa.Array) -> pa.Table:
        """All draws of these questions, which must be the next ones."""
        held = [] if self._held is None else [self._held]
        while not any(pc.any(pc.equal(piece["example_id"], questions[-1])).as_py() for piece in held):
            if (piece := next(self.pieces, None)) is None:
                raise DataError(f"{self.path} lacks the draws of question {questions[-1].as_py()!r}")
            held.append(piece)
        table = pa.concat_tables(held)
        asked = pc.is_in(table["example_id"], questions)
        if lacking := set(questions.to_pylist()) - set(pc.unique(table["example_id"]).to_pylist()):
            raise DataError(f"{self.path} lacks the draws of question {min(lacking)!r}")
        self._held = table.filter(pc.invert(asked))
        return table.filter(asked)


def _new(table: pa.Table, passed: set[str]) -> pa.Table:
    """The piece, after checking that none of its questions was in an earlier one."""
    questions = set(pc.unique(table["example_id"]).to_pylist())
    if again := questions & passed:
        raise DataError(f"the draws of question {min(again)!r} are not consecutive in the file of completions")
    passed |= questions
    return table


def right_of_questions(table: pa.Table) -> tuple[list[str], list[float]]:
    """The ids of a table's questions, and the share of correct answers to each one."""
    right = pc.equal(table["status"], "correct").cast(pa.float64())
    found = pa.table({"id": table["example_id"], "right": right}).group_by("id").aggregate([("right", "mean")])
    return found["id"].to_pylist(), found["right_mean"].to_pylist()


# --- summaries


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary statistics of judged completions. A completion without an answer counts as wrong."""

    statuses: Counter[str]
    tokens: int | None = None
    """Total number of generated tokens; None if unknown."""
    independent: float | None = None
    """Effective number of independent answers if questions have several: the interval is computed for this number."""
    questions: int | None = None
    """Number of questions, if each has several answers."""
    mean_score: float | None = None
    """None if scores add nothing to the status: 1 for a correct completion, otherwise 0."""

    @property
    def n(self) -> int:
        """Number of judged completions."""
        return self.statuses.total()

    @property
    def asked(self) -> int:
        """Number of questions answered."""
        return self.n if self.questions is None else self.questions

    def of_questions(self, rates: NDArray[np.float64]) -> "Summary":
        """The same summary for several answers per question; `rates`: the share of correct answers to each question."""
        from orchestrator.stats.proportion import effective_number  # scipy is slow to load

        return replace(self, independent=effective_number(rates, self.n), questions=len(rates))

    @property
    def correct(self) -> int:
        """Number of correct completions."""
        return self.statuses["correct"]

    @property
    def answered(self) -> int:
        """Number of completions in which an answer was found."""
        return self.statuses["correct"] + self.statuses["wrong"]

    @property
    def accuracy(self) -> float:
        """Share of all completions that are correct."""
        return self.correct / self.n

    @property
    def answer_rate(self) -> float:
        """Share of all completions in which an answer was found."""
        return self.answered / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% Wilson interval of the accuracy, as (low, high)."""
        from orchestrator.stats import wilson  # scipy is slow to load
        from orchestrator.stats.proportion import wilson_of

        if self.independent is not None:
            return wilson_of(self.accuracy, self.independent, _NORMAL)
        return wilson(self.correct, self.n)

    @property
    def tokens_per_completion(self) -> float | None:
        """Mean number of generated tokens; None if unknown."""
        return None if self.tokens is None else self.tokens / self.n

    def metrics(self) -> dict[str, float]:
        """Metrics by name: accuracy with its interval, answer_rate, n, tokens if known, a count for each status."""
        low, high = self.interval
        found: dict[str, float] = {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "answer_rate": self.answer_rate,
            "n": self.asked,
        }
        if self.questions is not None:
            found["answers_per_question"] = self.n / self.questions
        if self.mean_score is not None:
            found["mean_score"] = self.mean_score
        if self.tokens_per_completion is not None:
            found["tokens_per_completion"] = self.tokens_per_completion
        return found | {f"status/{status}": self.statuses[status] for status in sorted(self.statuses)}


def summary_of(statuses: Iterable[str]) -> Summary:
    """The summary of completions from their statuses alone."""
    return Summary(Counter(statuses))


def summary_of_verdicts(judged: Sequence[Verdict], independent: int | None = None, own_scores: bool = False) -> Summary:
    """The summary of completions from their verdicts alone; `own_scores` as in `Tally`."""
    partial = own_scores or any(v.score != (v.status == "correct") for v in judged)
    mean = sum(v.score for v in judged) / len(judged) if partial and judged else None
    return Summary(Counter(v.status for v in judged), independent=independent, mean_score=mean)


def summary_by_question(table: pa.Table) -> Summary:
    """Like `summary`, but if questions have several answers, the interval is clustered by question."""
    counted = summary([table])
    questions, rates = right_of_questions(table)
    return counted if len(questions) == table.num_rows else counted.of_questions(np.array(rates))


def summary(tables: Iterable[pa.Table | pa.RecordBatch]) -> Summary:
    """The summary of stored completions; reads `status`, and `n_tokens` and `score` if present."""
    tally = Tally()
    for table in tables:
        tally.add(table)
    return tally.summary()


class Tally:
    """Summarizes completions piece by piece; with `own_scores` it has a mean score even if all scores are 0 or 1."""

    def __init__(self, own_scores: bool = False) -> None:
        self._statuses: Counter[str] = Counter()
        self._tokens: int | None = 0
        self._partial = own_scores
        self._score = 0.0

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Add these completions."""
        for entry in pc.value_counts(table["status"]).to_pylist():
            self._statuses[entry["values"]] += entry["counts"]
        if self._tokens is not None:
            known = "n_tokens" in table.schema.names
            self._tokens = self._tokens + (pc.sum(table["n_tokens"]).as_py() or 0) if known else None
        usual = pc.equal(table["status"], "correct").cast(pa.float32())
        scores = pc.coalesce(table["score"], usual) if "score" in table.schema.names else usual
        self._partial = self._partial or bool(pc.any(pc.not_equal(scores, usual)).as_py())
        self._score += pc.sum(scores.cast(pa.float64())).as_py() or 0.0

    def summary(self) -> Summary:
        """The summary so far."""
        n = self._statuses.total()
        mean = self._score / n if self._partial and n else None
        return Summary(Counter(self._statuses), self._tokens, mean_score=mean)
