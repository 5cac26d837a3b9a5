"""`judge_file` as a function: judge completions from any source as a recipe would judge them."""

import difflib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.sampling.completions import summary_of_verdicts
from orchestrator.store.legal_names import storable
from orchestrator.tasks import Task
from orchestrator.tasks.cells import top_column
from orchestrator.tasks.completion_rows import CompletionColumns, Gold, read_completions
from orchestrator.tasks.files import kind, listed, origin_of, read_table, short
from orchestrator.tasks.judging import item, verdicts
from orchestrator.tasks.rows import Row
from orchestrator.types import Example, JsonObject, Verdict

__all__ = ["CompletionColumns", "JudgedFile", "judge_file"]


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The verdict on each completion, in the file's order, and their summary."""

    rows: tuple[dict[str, Any], ...]
    """The rows as read: row, draw, question, answer, text, finish_reason; the answer as parsed by the task."""
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...] = ()
    """Location and reason for each row that cannot be judged, because of its gold answer or a failure of the judge."""
    notes: tuple[str, ...] = ()
    """Other findings about the file: several completions in a row, duplicate rows, unknown finish reasons."""

    def metrics(self) -> dict[str, float]:
        """accuracy with its 95% Wilson interval, answer_rate, n, and a count for each status that occurs.

        Also mean_score, if any score differs from the one that its status implies (1 if correct, else 0).
        Draws of one row may all be alike: if rows have several draws, the interval is computed for the number of rows.
        """
        rows = len({row["row"] for row in self.rows})
        independent = None if rows == len(self.verdicts) else rows
        return summary_of_verdicts(self.verdicts, independent).metrics()

    def write(self, path: Path) -> None:
        """Write one row per completion, in the file's order, as parquet. Raises DataError if that fails."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = {
            "row": [r["row"] for r in self.rows],
            "question": [r["question"] and storable(r["question"]) for r in self.rows],
            "gold": [storable(r["answer"]) for r in self.rows],
            "text": [storable(r["text"]) for r in self.rows],
            "status": [v.status for v in self.verdicts],
            "value": [v.value and storable(v.value) for v in self.verdicts],
            "score": [v.score for v in self.verdicts],
        }
        if any(r["draw"] for r in self.rows):
            columns["draw"] = [r["draw"] for r in self.rows]
        types = {"row": pa.int64(), "draw": pa.int64(), "score": pa.float32()}
        schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
        temporary = path.parent / f"orch-{os.getpid()}.tmp"  # not NAME.tmp: the name may already be of maximum length
        try:
            if path.is_dir():
                raise DataError(f"{path}: is a folder: name a file for the verdicts, such as verdicts.parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns, schema), temporary)
            temporary.replace(path)
        except (OSError, ValueError) as error:  # ValueError: a path that contains a NUL
            with suppress(OSError):
                temporary.unlink()
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: cannot be written ({why}): name another file") from None


def judge_file(path: Path, task: Task, columns: CompletionColumns | None = None) -> JudgedFile:
    """Judge every row of a JSONL, JSON, CSV or parquet file with a task's answer format and judge.

    Gold answers are parsed as in the task's own files, or used as is if they can be judged only that way.

    Raises:
        DataError: the file cannot be read, lacks the text or gold answer column, or has no gold answer that can be
            judged.
    """
    columns = columns or CompletionColumns()
    table = read_table(path, columns)
    if table.problems:
        raise DataError(*table.problems[:10])
    if not table.records:
        raise DataError(f"{path}: has no rows: write at least one completion with its gold answer")
    stray = [
        f"{origin_of(path).place(line)}: is {kind(record)}: write an object with the text and the gold answer"
        for line, record in table.records
        if not isinstance(record, dict)
    ]
    if stray:
        raise DataError(*stray[:10])
    missing = [name for name in (columns.text, columns.answer) if top_column(name, table.names) is None]
    if missing:
        raise DataError(*(_missing(path, name, table.names, columns) for name in missing))
    read = read_completions(table, origin_of(path), columns)
    golds = [_gold_of_task(task, gold) for gold in read.golds]
    whys = [why for _, _, why in golds]
    if all(whys):
        raise DataError(
            f"{path}: no gold answer can be judged (of {len(whys):,}): fix them, or name another column with "
            "--answer, or the recipe of their task with --recipe",
            *(f"{gold.place}: {why}" for gold, why in list(zip(read.golds, whys, strict=True))[:3]),
        )
    rows: list[dict[str, Any]] = [
        {
            "row": completion.row + 1,
            "draw": completion.draw,
            "question": read.golds[completion.row].question,
            "answer": golds[completion.row][0],
            "text": completion.text,
            "finish_reason": completion.finish_reason,
        }
        for completion in read.completions
    ]
    items = [
        item(
            row["text"],
            Example(f"row-{row['row']}", row["question"] or "", row["answer"], data=golds[row["row"] - 1][1]),
            row["finish_reason"],
        )
        for row in rows
    ]
    whys = [whys[completion.row] for completion in read.completions]
    found = [_kept(verdict, why) for verdict, why in zip(verdicts(task, items), whys, strict=True)]
    problems = {
        row["row"]: f"{read.golds[row['row'] - 1].place}: {why or _failed(task, row)}"
        for why, row, verdict in zip(whys, rows, found, strict=True)
        if why or verdict.status == "error"
    }
    return JudgedFile(tuple(rows), tuple(found), tuple(problems.values()), read.notes)


def _gold_of_task(task: Task, gold: Gold) -> tuple[str, JsonObject, str | None]:
    """A row's gold answer and data as parsed by the task, and why it cannot be judged; None if it can."""
    if gold.why is not None:
        return gold.answer, gold.data, gold.why
    row, unread = Row(gold.question or "", gold.answer, None, None, gold.line, gold.is_number, gold.data), None
    try:
        row = task.read(row)
    except (ValueError, DataError) as error:  # such as a bare 7, if the task's own files have worked solutions
        unread = str(error)
    why = task.judge.check_gold(row.answer)
    if why is None:
        return row.answer, row.data, None
    return row.answer, row.data, unread or f"gold answer {short(row.answer)}: {why}"


def _kept(verdict: Verdict, why: str | None) -> Verdict:
    """The verdict; correct or wrong becomes an error if the gold answer cannot be judged."""
    return replace(verdict, status="error", score=0.0) if why and verdict.status in ("correct", "wrong") else verdict


def _failed(task: Task, row: dict[str, Any]) -> str:
    return (
        f"judge {task.judge.type} cannot read the gold answer {short(row['answer'])}, or the completion made it fail: "
        "look at both"
    )


_TEXTS = (
    *("completion", "completions", "response", "responses", "resps", "generation", "generations", "generated_text"),
    *("output", "outputs", "prediction", "predictions", "messages", "conversations", "choices", "candidates"),
)
_GOLDS = ("gold", "target", "label", "ground_truth", "reference", "solution", "expected", "final_answer")
"""Other tools' names for these columns."""


def _missing(path: Path, name: str, names: list[str], columns: CompletionColumns) -> str:
    """The message for a missing column; suggests another tool's name for it first, then a similar name."""
    option, usual = ("--text", _TEXTS) if name == columns.text else ("--answer", _GOLDS)
    close = [other for other in usual if other in names][:1] or difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{path}: has no column {name!r}; its columns are {listed(names) or 'none'}: {hint}name it with {option}"
