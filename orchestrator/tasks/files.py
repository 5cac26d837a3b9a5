"""A user's own file as records: JSON, JSONL, CSV or parquet, whatever is in them.

It finds the file, reads its format and says where a problem stands. It must not know what a row has to hold.
"""

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import DataError
from orchestrator.tasks.cells import WrittenNumber, shape, top_column
from orchestrator.tasks.class_labels import features_in, named


class Columns(BaseModel):
    """Which columns of the file hold what. Rows that are [question, answer] pairs need none.

    A name with dots is the column of that name, else a field inside one: `extra.gold` is `gold` in `extra`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(default="question", min_length=1)
    answer: str = Field(default="answer", min_length=1)
    demonstration: str | None = Field(default=None, min_length=1)
    """None: the column `demonstration` if there is one."""
    id: str | None = Field(default=None, min_length=1)
    """None: the column `id` if there is one."""

    def used(self) -> set[str]:
        """The columns that are looked at, where there are such."""
        return {self.question, self.answer, self.demonstration or "demonstration", self.id or "id"}

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a table's columns that are read: the ones used, and the ones that hold such."""
        tops = {top_column(name, names) for name in self.used()}
        return [name for name in dict.fromkeys(names) if name in tops]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows were read, as messages call it."""

    name: str
    unit: Literal["line", "row"]
    """What a record is called there."""

    def place(self, line: int) -> str:
        """Where a record stands: `my.csv, line 3`."""
        return f"{self.name}, {self.unit} {line}"


def origin_of(path: Path) -> Origin:
    """A file as the place of its records."""
    return Origin(str(path), "line" if path.suffix.lower() in (".jsonl", ".csv") else "row")


@dataclass(frozen=True, slots=True)
class Table:
    """A file before its rows are checked."""

    records: list[tuple[int, Any]]
    names: list[str]
    """All columns in the file; empty where every record is a pair."""
    problems: list[str]
    """What kept single records from being read."""


def read_table(path: Path, columns: Columns) -> Table:
    """The records of a file, in its order. Raises DataError where there is no such file, or none that can be read."""
    _check_file(path)
    try:
        return _READERS[path.suffix.lower()](path, columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}): check the file and its permissions") from None


# --- the file


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            inside = [name for name in _names_in(path) if Path(name).suffix.lower() in _READERS]
            found = f"name one of its files: {listed(inside)}" if inside else f"name a {_accepted()} file"
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


def _accepted() -> str:
    return ", ".join(_READERS)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


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


def _read_json(path: Path, columns: Columns) -> Table:
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
            f"{path}: holds {kind(content)}, not a list: write a list of [question, answer] pairs, or of objects "
            f"with {columns.question!r} and {columns.answer!r}"
        )
    records = list(enumerate(content, start=1))
    return Table(records, _keys(records), [])


def _read_jsonl(path: Path, columns: Columns) -> Table:
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
    return Table(records, _keys(records), problems)


def _read_csv(path: Path, columns: Columns) -> Table:
    # strict: a quote that is never closed is an error, not one field that swallows the rest of the file.
    text = _read_text(path)
    # One limit for the whole process, 131,072 characters if nobody says otherwise: a long completion is no mistake.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
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
                    raise DataError(f"{path}, line {first_line}: two columns are called {listed(doubled)}: rename one")
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
    return Table(records, names, problems)


def _read_parquet(path: Path, columns: Columns) -> Table:
    # Imported here: whoever brings JSON or CSV should not wait for it.
    import pyarrow
    import pyarrow.parquet

    with path.open("rb") as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            names = file.schema_arrow.names
            doubled = sorted({name for name in columns.among(names) if names.count(name) > 1})
            content = [] if doubled else _widened(file.read(columns=columns.among(names))).to_pylist()
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            message = " ".join(str(error).split())
            raise DataError(f"{path}: is not a readable parquet file ({message:.100}): write it again") from None
        except (ValueError, OverflowError) as error:  # a date outside Python's years
            raise DataError(f"{path}: holds a value that cannot be read ({error!s:.100}): name other columns") from None
    if doubled:
        raise DataError(f"{path}: two columns are called {listed(doubled)}: rename one")
    features = features_in(file.schema_arrow.metadata)
    if labelled := [name for name in columns.among(names) if name in features]:
        content = [row | {name: named(row[name], features[name]) for name in labelled} for row in content]
    return Table(list(enumerate(content, start=1)), names, [])


def _widened(table: Any) -> Any:
    """The table with its floats of fewer than 64 bits as the numbers that their digits mean: 0.1, not 0.10000000149."""
    import pyarrow

    for place, field in enumerate(table.schema):
        if pyarrow.types.is_float32(field.type) or pyarrow.types.is_float16(field.type):
            digits = table.column(place).cast(pyarrow.string())
            table = table.set_column(place, field.name, digits.cast(pyarrow.float64()))
    return table


_READERS: dict[str, Callable[[Path, Columns], Table]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _parse(text: str) -> Any:
    # Python refuses to read integers of thousands of digits; as text they are shown like any other bad value.
    return json.loads(
        text, parse_int=lambda digits: int(digits) if len(digits) < 300 else digits, parse_float=WrittenNumber
    )


def _keys(records: Sequence[tuple[int, Any]]) -> list[str]:
    return list(dict.fromkeys(key for _, record in records if isinstance(record, dict) for key in record))


# --- the words


def listed(names: Sequence[str]) -> str:
    """The first twelve names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def kind(value: Any) -> str:
    """What a value is, in words: `a number (5)`, `a list of 2 texts (['a', 'b'])`."""
    return f"{shape(value)} ({short(value)})"


def short(value: Any) -> str:
    """A value in at most 60 characters."""
    text = value.text if isinstance(value, WrittenNumber) else f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
