"""A user's own file as records: JSON, JSONL, CSV or parquet, whatever it contains.

Finds the file, reads its format and reports where a problem is. It must not know what a row has to contain.
"""

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import DataError
from orchestrator.tasks.cells import WrittenNumber, find, shape
from orchestrator.tasks.class_labels import features_in, named
from orchestrator.tasks.columns import Columns
from orchestrator.tasks.json_text import DoubledKey, doubled_key, parse

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""Possible field separators of a CSV file."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of rows, as named in messages."""

    name: str
    unit: Literal["line", "row"]
    """The word for a record there."""

    def place(self, line: int) -> str:
        """The position of a record: `my.csv, line 3`."""
        return f"{self.name}, {self.unit} {line}"


def origin_of(path: Path) -> Origin:
    """The origin of a file's records."""
    return Origin(str(path), "line" if path.suffix.lower() in (".jsonl", ".csv") else "row")


@dataclass(frozen=True, slots=True)
class Table:
    """A file before its rows are checked."""

    records: list[tuple[int, Any]]
    names: list[str]
    """All columns in the file; empty if every record is a pair."""
    problems: list[str]
    """Why individual records could not be read."""


def read_table(path: Path, columns: Columns) -> Table:
    """The records of a file, in order. Raises DataError if there is no such file, or it cannot be read."""
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
            kind = f"the extension {path.suffix!r} is not supported" if path.suffix else "its name has no extension"
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
        content = parse(text)
    except json.JSONDecodeError as error:
        hint = "fix it there"
        if error.msg == "Extra data" and error.lineno > 1:
            hint = "if each line is a separate row, name the file .jsonl"
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: is not valid JSON ({error.msg}): {hint}"
        ) from None
    except DoubledKey:
        raise DataError(_twice(path, 1, text)) from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deep to be rows: write a list of [question, answer] pairs") from None
    rows = _only_list(content, columns) if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DataError(
            f"{path}: holds {kind(content)}, not a list{_lists_in(content)}: write a list of [question, answer] pairs, "
            f"or of objects with {columns.question!r} and {columns.answer!r}"
        )
    records = list(enumerate(rows, start=1))
    return Table(records, _keys(records), [])


def _only_list(content: dict[str, Any], columns: Columns) -> list[Any] | None:
    """The rows of `{"data": [...]}`: the only list in an object that is not itself a row; None if there is none."""
    lists = [(name, value) for name, value in content.items() if isinstance(value, list)]
    if len(lists) != 1:
        return None
    [(name, rows)] = lists
    is_row = any(wanted != name and find(content, wanted)[0] for wanted in (columns.question, columns.answer))
    return None if is_row or not all(isinstance(row, dict | list) for row in rows) else rows


def _lists_in(content: Any) -> str:
    """A remark on the lists in an object, if none of them can be assumed to contain the rows."""
    lists = {k: v for k, v in content.items() if isinstance(v, list)} if isinstance(content, dict) else {}
    if len(lists) < 2:
        return ""
    if len(set(map(len, lists.values()))) == 1 and not any(isinstance(v, dict) for one in lists.values() for v in one):
        return f", but columns of {len(next(iter(lists.values()))):,} values each (in pandas, orient='records' is rows)"
    return f", but the lists {listed(list(lists))} (keep the one that holds the rows)"


def _read_jsonl(path: Path, columns: Columns) -> Table:
    records: list[tuple[int, Any]] = []
    problems: list[str] = []
    # Not splitlines, which would also split at the line separators (U+2028) that a JSON string may contain.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, parse(line)))
        except json.JSONDecodeError as error:
            if not records and not problems and line.strip() in ("[", "{"):
                raise DataError(f"{path}: a row spans several lines: if the file is one list, name it .json") from None
            problems.append(
                f"{path}, line {number}, column {error.colno}: is not valid JSON ({error.msg}): "
                "write one [question, answer] pair or one object on each line"
            )
        except DoubledKey:
            problems.append(_twice(path, number, line))
        except RecursionError:
            problems.append(f"{path}, line {number}: is nested too deep to be a row: write a [question, answer] pair")
    return Table(records, _keys(records), problems)


def _read_csv(path: Path, columns: Columns) -> Table:
    # strict: a quote that is never closed is an error, not one field that swallows the rest of the file.
    text = _read_text(path)
    # The limit is process-wide, 131,072 characters by default: a long completion is not an error.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    separator = _separator(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
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
                    f"put text that contains {_SEPARATORS[separator]} in double quotes"
                )
            else:
                records.append((first_line, dict(zip(names, fields, strict=True))))
    except csv.Error as error:
        # After a broken quote, the rest cannot be split into rows.
        problems.append(f"{path}, line {line}: is not valid CSV ({error}): check its double quotes")
    return Table(records, names, problems)


def _separator(text: str, columns: Columns) -> str:
    """The field separator of a CSV file: the one with which its header has the most wanted columns.

    If no separator gives any, the comma if the header contains one, else the one that gives the most fields.
    """
    headers: dict[str, list[str]] = {}
    for separator in _SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            headers[separator] = [field.strip() for field in next(filter(None, reader), [])]
        except csv.Error:
            headers[separator] = []
    found = {separator: len(columns.among(names)) for separator, names in headers.items()}
    if any(found.values()):
        return max(found, key=lambda separator: found[separator])
    return "," if len(headers[","]) > 1 else max(headers, key=lambda separator: len(headers[separator]))


def _read_parquet(path: Path, columns: Columns) -> Table:
    # Imported here: users of JSON or CSV should not wait for it.
    import pyarrow
    import pyarrow.parquet

    with path.open("rb") as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            names = file.schema_arrow.names
            doubled = sorted({name for name in columns.among(names) if names.count(name) > 1})
            table = file.read(columns=[] if doubled else columns.among(names))
            content = _widened(table)
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


def _widened(table: Any) -> list[dict[str, Any]]:
    """The rows of a table, with short floats as the numbers their digits mean: 0.1, not 0.10000000149."""
    short_floats = {field.name: read for field in table.schema if (read := _reader_of_floats(field.type)) is not None}
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows if short_floats else ():
        row.update({name: read(row[name]) for name, read in short_floats.items()})
    return rows


def _reader_of_floats(kind: Any) -> Callable[[Any], Any] | None:
    """A function that turns 16- and 32-bit floats into the shortest equal decimal; None if the type contains none."""
    import numpy
    import pyarrow.types as types

    if types.is_float16(kind) or types.is_float32(kind):
        bits = numpy.float16 if types.is_float16(kind) else numpy.float32
        return lambda value: None if value is None else float(str(bits(value)))
    if types.is_struct(kind):
        fields = {field.name: read for field in kind if (read := _reader_of_floats(field.type)) is not None}
        return (lambda value: value and value | {n: read(value[n]) for n, read in fields.items()}) if fields else None
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _reader_of_floats(kind.value_type)
        return None if inner is None else lambda value: value and [inner(item) for item in value]
    return None


_READERS: dict[str, Callable[[Path, Columns], Table]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _twice(path: Path, line: int, text: str) -> str:
    """The problem of a duplicate key in a text that begins on the given line."""
    breaks, key = doubled_key(text)
    return f"{path}, line {line + breaks}: the key {short(key)} occurs twice in one object: keep the right one"


def _keys(records: Sequence[tuple[int, Any]]) -> list[str]:
    return list(dict.fromkeys(key for _, record in records if isinstance(record, dict) for key in record))


# --- wording


def listed(names: Sequence[str]) -> str:
    """The first twelve names, and the number of further ones."""
    shown = ", ".join(repr(name) for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def kind(value: Any) -> str:
    """Describe a value: `a number (5)`, `a list of 2 texts (['a', 'b'])`."""
    return f"{shape(value)} ({short(value)})"


def short(value: Any, most: int = 60) -> str:
    """A value in at most `most` characters."""
    text = value.text if isinstance(value, WrittenNumber) else f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
