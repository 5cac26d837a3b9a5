"""Rows of questions and answers from a user's own file: JSON, JSONL, CSV or parquet.

It reads rows, checks their shape, and tells the user everything that is wrong with a file at once. It must not know how
an answer is judged (text that is a number stays text), nor what the rows are used for.
"""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import DataError
from orchestrator.types import Answer

_SHOWN_PROBLEMS = 10
_SPEC = re.compile(r"\s*(-?[0-9]{1,12})?\s*:\s*(-?[0-9]{1,12})?\s*")


class Columns(BaseModel):
    """Which columns of the file hold what. Rows that are [question, answer] pairs need none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(default="question", min_length=1)
    answer: str = Field(default="answer", min_length=1)
    demonstration: str | None = Field(default=None, min_length=1)
    """None: the column `demonstration` if there is one."""
    id: str | None = Field(default=None, min_length=1)
    """None: the column `id` if there is one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file."""

    question: str
    answer: Answer
    demonstration: str | None
    id: str | None
    line: int
    """Counted from 1: the line in a JSONL or CSV file, the row in a JSON or parquet file."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A file before its rows are checked."""

    records: list[tuple[int, Any]]
    names: list[str]
    """All columns in the file; empty where every record is a pair."""
    problems: list[str]
    """What kept single records from being read."""


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All rows of the file, in its order. Raises one DataError with every problem found."""
    _check_file(path)
    try:
        table = _READERS[path.suffix.lower()](path, columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}): check the file and its permissions") from None
    problems = [*table.problems, *_missing_columns(path, columns, table)]
    if not table.records and not problems:
        problems.append(f"{path}: there are no rows in it: write at least one question with its answer")
    # Without its columns no row could be right: one line says it, not one for each row.
    if len(problems) > len(table.problems) or not table.records:
        raise _error(problems)
    rows, row_problems = _check_rows(path, columns, table)
    problems += row_problems
    if problems:
        raise _error(problems)
    return rows


def select_rows(rows: Sequence[Row], spec: str) -> list[Row]:
    """The rows that a Python-like slice names: `800:`, `:800`, `-200:`, `100:200`. Raises DataError if that is none."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise DataError(f"rows {spec!r} is not a range: write it like '800:', ':800', '-200:' or '100:200'")
    start, stop = (int(bound) if bound else None for bound in match.groups())
    selected = list(rows[start:stop])
    if not selected:
        raise DataError(f"rows {spec!r} takes none of the {len(rows)} rows: name a range inside them")
    return selected


def distinct_questions(rows: Sequence[Row], path: Path) -> tuple[list[Row], int]:
    """The first row of each question, and how many repetitions were left out.

    Raises DataError where the same question has different answers. Blanks around a text make no difference.
    """
    first: dict[str, Row] = {}
    problems = []
    for row in rows:
        known = first.setdefault(row.question.strip(), row)
        if _stripped(known.answer) != _stripped(row.answer):
            problems.append(
                f"{_place(path, row.line)}: the question of {_unit(path)} {known.line} again, with another answer "
                f"({_short(row.answer)}, not {_short(known.answer)}): keep the right one ({_short(row.question)})"
            )
    if problems:
        raise _error(problems)
    return list(first.values()), len(rows) - len(first)


# --- the file


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            inside = [name for name in _names_in(path) if Path(name).suffix.lower() in _READERS]
            found = f"name one of its files: {_listed(inside)}" if inside else f"name a {_accepted()} file"
            raise DataError(f"{path}: is a folder: {found}")
        if not path.exists():
            raise DataError(f"{path}: there is no such file{_closest_file(path)}")
        if not path.is_file():
            raise DataError(f"{path}: is not a regular file: copy its content into one")
        if path.suffix.lower() not in _READERS:
            kind = f"the ending {path.suffix!r} is not known" if path.suffix else "its name has no ending"
            raise DataError(f"{path}: {kind}: save it as {_accepted()}")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty: write at least one question with its answer")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}): check the path and its permissions") from None


def _closest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" (nor a folder {folder}): check the path"
    names = _names_in(folder)
    close = difflib.get_close_matches(path.name, names, n=1)
    return f": did you mean {str(folder / close[0])!r}?" if close else ": check the path"


def _names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16 text: save it as UTF-8")
    if b"\0" in data:
        raise DataError(f"{path}: is not text (it holds NUL bytes): check that it is the right file, saved as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: is not UTF-8 text: check the file, and save it as UTF-8") from None
    if not text.strip():
        raise DataError(f"{path}: is empty: write at least one question with its answer")
    return text


# --- the formats


def _read_json(path: Path, columns: Columns) -> _Table:
    text = _read_text(path)
    try:
        content = _parse(text)
    except json.JSONDecodeError as error:
        hint = "mend it there"
        if error.msg == "Extra data" and error.lineno > 1:
            hint = "if each line is a row of its own, name the file .jsonl"
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: is not valid JSON ({error.msg}): {hint}"
        ) from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deep to be rows: write a list of [question, answer] pairs") from None
    if not isinstance(content, list):
        raise DataError(
            f"{path}: holds {_kind(content)}, not a list: write a list of [question, answer] pairs, or of objects "
            f"with {columns.question!r} and {columns.answer!r}"
        )
    records = list(enumerate(content, start=1))
    return _Table(records, _keys(records), [])


def _read_jsonl(path: Path, columns: Columns) -> _Table:
    records: list[tuple[int, Any]] = []
    problems: list[str] = []
    # Not splitlines: that would also cut at the line separators (U+2028) that may stand inside a JSON string.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, _parse(line)))
        except json.JSONDecodeError as error:
            if not records and not problems and line.strip() in ("[", "{"):
                raise DataError(f"{path}: rows do not end on their lines: if it is one list, name it .json") from None
            problems.append(
                f"{path}, line {number}, column {error.colno}: is not valid JSON ({error.msg}): "
                "write one [question, answer] pair or one object on each line"
            )
        except RecursionError:
            problems.append(f"{path}, line {number}: is nested too deep to be a row: write a [question, answer] pair")
    return _Table(records, _keys(records), problems)


def _read_csv(path: Path, columns: Columns) -> _Table:
    # strict: a quote that is never closed is an error, not one field that swallows the rest of the file.
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    names: list[str] = []
    records: list[tuple[int, Any]] = []
    problems: list[str] = []
    line = 1
    try:
        for fields in reader:
            first_line, line = line, reader.line_num + 1
            if not fields:
                continue
            if not names:
                names = [field.strip() for field in fields]
                doubled = sorted({name for name in names if name and names.count(name) > 1})
                if doubled:
                    raise DataError(f"{path}, line {first_line}: two columns are called {_listed(doubled)}: rename one")
            elif len(fields) != len(names):
                problems.append(
                    f"{path}, line {first_line}: has {len(fields)} fields, the header has {len(names)}: "
                    "put text that holds commas in double quotes"
                )
            else:
                records.append((first_line, dict(zip(names, fields, strict=True))))
    except csv.Error as error:
        # What follows a broken quote cannot be told into rows.
        problems.append(f"{path}, line {line}: is not valid CSV ({error}): check its double quotes")
    return _Table(records, names, problems)


def _read_parquet(path: Path, columns: Columns) -> _Table:
    # Imported here: whoever brings JSON or CSV should not wait for it.
    import pyarrow
    import pyarrow.parquet

    used = {columns.question, columns.answer, columns.demonstration or "demonstration", columns.id or "id"}
    with path.open("rb") as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            names = file.schema_arrow.names
            content = file.read(columns=[name for name in names if name in used]).to_pylist()
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            message = " ".join(str(error).split())
            raise DataError(f"{path}: is not a readable parquet file ({message:.100}): write it again") from None
    return _Table(list(enumerate(content, start=1)), names, [])


_READERS: dict[str, Callable[[Path, Columns], _Table]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _parse(text: str) -> Any:
    # Python refuses to read integers of thousands of digits; as text they are shown like any other bad value.
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 300 else digits)


# --- the rows


def _missing_columns(path: Path, columns: Columns, table: _Table) -> Iterator[str]:
    if not table.names:
        return
    for field, wanted in columns.model_dump(exclude_none=True).items():
        if wanted in table.names:
            continue
        lowered = {name.lower(): name for name in table.names}
        close = difflib.get_close_matches(wanted.lower(), lowered, n=1)
        hint = f"set columns.{field} to one of them"
        if close:
            hint = f"did you mean {lowered[close[0]]!r}? Set columns.{field}"
        elif len(table.names) == 1 and (separator := re.search(r"[;\t|]", table.names[0])):
            hint = f"they are separated by {separator[0]!r}, save the file with commas"
        yield f"{path}: has no column {wanted!r}; its columns are {_listed(table.names)}: {hint}"


def _check_rows(path: Path, columns: Columns, table: _Table) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    problems: list[str] = []
    line_of_id: dict[str, int] = {}
    for line, record in table.records:
        try:
            row = _row(line, record, columns)
            if row.id is not None and line_of_id.setdefault(row.id, line) != line:
                raise ValueError(
                    f"the id {_short(row.id)} is also that of {_unit(path)} {line_of_id[row.id]}: give each row its own"
                )
            rows.append(row)
        except ValueError as error:
            problems.append(f"{_place(path, line)}: {error}")
    return rows, problems


def _row(line: int, record: Any, columns: Columns) -> Row:
    """The row in a record. Raises ValueError with what is wrong and how to mend it."""
    if isinstance(record, list):
        if len(record) != 2:
            raise ValueError(f"is a list of {len(record)}: write a pair [question, answer]")
        return Row(_question(record[0]), _answer(record[1]), None, None, line)
    if not isinstance(record, dict):
        raise ValueError(f"is {_kind(record)}: write a pair [question, answer] or an object")
    required = (columns.question, columns.answer, *((columns.id,) if columns.id else ()))
    for name in required:
        if name not in record:
            raise ValueError(f"has no {name!r}, only {_listed(list(record)) or 'nothing'}: add it")
    return Row(
        question=_question(record[columns.question]),
        answer=_answer(record[columns.answer]),
        demonstration=_demonstration(record.get(columns.demonstration or "demonstration")),
        id=_id(record.get(columns.id or "id"), required=columns.id is not None),
        line=line,
    )


def _question(value: Any) -> str:
    if value is None or value == "":
        raise ValueError("the question is empty: write one or leave the row out")
    if not isinstance(value, str):
        raise ValueError(f"the question is {_kind(value)}: write it as text")
    if not value.strip():
        raise ValueError("the question is blank: write one or leave the row out")
    return _sound(value, "question")


def _answer(value: Any) -> Answer:
    if isinstance(value, str) and value.strip():
        return _sound(value, "answer")
    if value is None or isinstance(value, str):
        raise ValueError("the answer is empty: write one or leave the row out")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"the answer is {_kind(value)}: write a number or text")
    if isinstance(value, int) and float(value) != value:
        return str(value)  # as a float it would be another number
    if not math.isfinite(value):
        raise ValueError(f"the answer is {value}: write a finite number or leave the row out")
    return float(value)


def _demonstration(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"the demonstration is {_kind(value)}: write it as text, or leave it empty")
    return _sound(value, "demonstration") if value.strip() else None


def _id(value: Any, required: bool) -> str | None:
    # Tables with a gap turn whole numbers into floats: 7.0 was a 7.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            raise ValueError("the id is empty: write one")
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"the id is {_kind(value)}: write text or a whole number")
    return _sound(str(value).strip(), "id")


def _sound(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {what} holds half a character (a lone surrogate): correct {_short(text)}") from None
    return text


# --- the words

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def _error(problems: Sequence[str]) -> DataError:
    more = len(problems) - _SHOWN_PROBLEMS
    return DataError(*problems[:_SHOWN_PROBLEMS], *([f"... and {more} more"] if more > 0 else []))


def _unit(path: Path) -> str:
    return "line" if path.suffix.lower() in (".jsonl", ".csv") else "row"


def _place(path: Path, line: int) -> str:
    return f"{path}, {_unit(path)} {line}"


def _accepted() -> str:
    return ", ".join(_READERS)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def _keys(records: Sequence[tuple[int, Any]]) -> list[str]:
    return list(dict.fromkeys(key for _, record in records if isinstance(record, dict) for key in record))


def _kind(value: Any) -> str:
    return f"{_KINDS.get(type(value), f'a {type(value).__name__}')} ({_short(value)})"


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _stripped(answer: Answer) -> Answer:
    return answer.strip() if isinstance(answer, str) else answer


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
