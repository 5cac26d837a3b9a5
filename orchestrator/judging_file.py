"""`judge_file` as a function: completions made anywhere, judged as a recipe would judge them."""

import difflib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.tasks import Task
from orchestrator.tasks.file_formats import Columns, WrittenNumber, kind, listed, origin_of, read_table, short
from orchestrator.tasks.judging import verdicts
from orchestrator.tasks.table import Row
from orchestrator.types import FinishReason, Verdict, answer_text


class CompletionColumns(Columns):
    """Which columns of a file of completions hold what."""

    text: str = "text"
    finish_reason: str = "finish_reason"
    """`length` says that the completion was cut off; a file without this column says nothing of it."""

    def used(self) -> set[str]:
        return {self.question, self.answer, self.text, self.finish_reason}


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The verdict on each row, in the file's order, and what they come to."""

    rows: tuple[dict[str, Any], ...]
    """As they were read: question, answer, text; the answer as the task reads it."""
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...] = ()
    """For each row that cannot be judged, by its gold answer or for what the judge makes of it: its place and why."""

    def metrics(self) -> dict[str, float]:
        """accuracy with its 95% Wilson interval, answer_rate, n, and a count for each status that occurs."""
        from orchestrator.stats import wilson

        counts = Counter(v.status for v in self.verdicts)
        n = len(self.verdicts)
        low, high = wilson(counts["correct"], n)
        answered = counts["correct"] + counts["wrong"]
        return {
            "accuracy": counts["correct"] / n,
            "accuracy_low": low,
            "accuracy_high": high,
            "answer_rate": answered / n,
            "n": n,
        } | {f"status/{status}": number for status, number in sorted(counts.items())}

    def write(self, path: Path) -> None:
        """One row per row of the file, in its order, as parquet. Raises DataError where that cannot be written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = {
            "row": list(range(1, len(self.rows) + 1)),
            "question": [r["question"] and _storable(r["question"]) for r in self.rows],
            "gold": [_storable(r["answer"]) for r in self.rows],
            "text": [_storable(r["text"]) for r in self.rows],
            "status": [v.status for v in self.verdicts],
            "value": [v.value and _storable(v.value) for v in self.verdicts],
        }
        schema = pa.schema([(name, pa.int64() if name == "row" else pa.string()) for name in columns])
        if path.is_dir():
            raise DataError(f"{path}: is a folder: name a file for the verdicts, such as verdicts.parquet")
        temporary = path.with_name(path.name + ".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns, schema), temporary)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise DataError(f"{path}: cannot be written ({error.strerror or error}): name another file") from None


def judge_file(path: Path, task: Task, columns: CompletionColumns | None = None) -> JudgedFile:
    """Judge every row of a JSONL, JSON, CSV or parquet file with a task's answer format and judge.

    Gold answers are read as the task reads those of its own files, or as they stand where only that can be judged.

    Raises:
        DataError: a file that cannot be read, that lacks the columns of text and gold answer, or none of whose gold
            answers can be judged.
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
    missing = [name for name in (columns.text, columns.answer) if name not in table.names]
    if missing:
        raise DataError(*(_missing(path, name, table.names, columns) for name in missing))
    rows = [_row(record, columns) for _, record in table.records]
    whys = []
    for (line, _), row in zip(table.records, rows, strict=True):
        row["answer"], why = _gold_of_task(task, row, line)
        whys.append(why)
    places = [origin_of(path).place(line) for line, _ in table.records]
    if all(whys):
        raise DataError(
            f"{path}: no gold answer can be judged (of {len(rows):,}): mend them, or name another column with "
            "--answer, or the recipe of their task with --recipe",
            *(f"{place}: {why}" for place, why in zip(places[:3], whys[:3], strict=True)),
        )
    items = [(row["text"], row["answer"], row["finish_reason"]) for row in rows]
    found = [_kept(verdict, why) for verdict, why in zip(verdicts(task, items), whys, strict=True)]
    problems = [
        f"{place}: {why or _failed(task, row)}"
        for place, why, row, verdict in zip(places, whys, rows, found, strict=True)
        if why or verdict.status == "error"
    ]
    return JudgedFile(tuple(rows), tuple(found), tuple(problems))


def judged_by(task: Task) -> str:
    """Format and judge in words, with the settings that decide: `format tags, judge numeric (tolerance 0.05, ...)`."""
    settings = ", ".join(f"{k} {v}" for k, v in task.judge.model_dump().items() if k != "type")
    return f"format {task.format.type}, judge {task.judge.type}" + (f" ({settings})" if settings else "")


def _row(record: dict[str, Any], columns: CompletionColumns) -> dict[str, Any]:
    text, answer = record.get(columns.text), record.get(columns.answer)
    cut: FinishReason = "length" if record.get(columns.finish_reason) == "length" else "stop"
    return {
        "question": None if record.get(columns.question) is None else str(record[columns.question]),
        "answer": _gold(answer),
        "text": _text(text),
        "finish_reason": cut,
    }


def _text(value: Any) -> str:
    """A completion as text; of a conversation (a list of messages) the last message's content."""
    if isinstance(value, list) and value and isinstance(value[-1], dict) and isinstance(value[-1].get("content"), str):
        return str(value[-1]["content"])
    return "" if value is None else str(value)


def _gold(answer: Any) -> str:
    """A gold answer as tasks have it; one that is missing is judged `error`, and costs no other row."""
    if isinstance(answer, WrittenNumber):
        return answer.text
    if isinstance(answer, int | float | Decimal) and not isinstance(answer, bool):
        return answer_text(answer)
    return "" if answer is None else str(answer)


def _gold_of_task(task: Task, row: dict[str, Any], line: int) -> tuple[str, str | None]:
    """A row's gold answer as the task reads it, and why it cannot be judged, None if it can."""
    answer: str = row["answer"]
    if not answer.strip():
        return answer, "there is no gold answer: write one or leave the row out"
    unread = None
    try:
        read = task.read_row(Row(row["question"] or "", answer, None, None, line)).answer
    except (ValueError, DataError) as error:  # such as a bare 7, where the task's own files hold worked solutions
        read, unread = answer, str(error)
    why = task.judge.check_gold(read)
    if why is None:
        return read, None
    return read, unread or f"gold answer {short(read)}: {why}"


def _kept(verdict: Verdict, why: str | None) -> Verdict:
    """The verdict; none is correct or wrong where the gold answer cannot be judged."""
    return replace(verdict, status="error") if why and verdict.status in ("correct", "wrong") else verdict


def _failed(task: Task, row: dict[str, Any]) -> str:
    return (
        f"judge {task.judge.type} cannot read the gold answer {short(row['answer'])}, or the completion made it fail: "
        "look at both"
    )


def _missing(path: Path, name: str, names: list[str], columns: CompletionColumns) -> str:
    option = "--text" if name == columns.text else "--answer"
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{path}: has no column {name!r}; its columns are {listed(names) or 'none'}: {hint}name it with {option}"


def _storable(text: str) -> str:
    """Lone surrogates cannot be stored: they become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
