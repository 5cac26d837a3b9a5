"""Rows of questions and answers from a user's own file or data set.

Checks the shape of each row and reports all problems at once. It must not know how an answer is judged (text that is a
number stays text), what the rows are used for, or how files and data sets are read.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from orchestrator.errors import DataError
from orchestrator.tasks.cells import (
    ASSISTANT,
    USER,
    WrittenNumber,
    conversation,
    find,
    missing,
    number_text,
    numbered,
    reply,
    top_column,
)
from orchestrator.tasks.columns import FIELD, Columns, parts, usual
from orchestrator.tasks.files import Origin, Table, kind, listed, origin_of, read_table, short
from orchestrator.types import NO_DATA, JsonObject, answer_text

_SHOWN_PROBLEMS = 10
_SHOWN_OF_ROW = 200
"""Characters."""
_SPEC = re.compile(r"\s*(-?[0-9]{1,12})?\s*:\s*(-?[0-9]{1,12})?\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file."""

    question: str
    answer: str
    """Text; a JSON number or a decimal as written in the file, any other number as `answer_text` writes it."""
    demonstration: str | None
    id: str | None
    line: int
    """Counted from 1: the line in a JSONL or CSV file, the row in a JSON or parquet file."""
    is_number: bool = field(default=False, compare=False)
    """Whether the answer is a number in the file: its decimal separator is a point, whatever texts use."""
    data: JsonObject = NO_DATA
    """Further data to judge by: the object in the column named by `columns.data`."""


def read_rows(path: Path, columns: Columns, solutions: bool = False) -> list[Row]:
    """All rows of the file, in order. Raises one DataError with every problem found.

    `solutions`: the file contains worked solutions, whose column may be left unnamed.
    """
    return checked_rows(read_table(path, columns), origin_of(path), columns, solutions)


def checked_rows(table: Table, origin: Origin, columns: Columns, solutions: bool = False) -> list[Row]:
    """All rows of a table, checked like those of a file in `read_rows`."""
    columns = columns.of_solutions(table.names) if solutions else columns
    problems = [*table.problems, *_missing_columns(table, origin, columns)]
    if not table.records and not problems:
        problems.append(f"{origin.name}: there are no rows in it: write at least one question with its answer")
    # Without its columns, no row can be valid: report that once, not for each row.
    if len(problems) > len(table.problems) or not table.records:
        raise rows_error(problems)
    rows, row_problems = _check_rows(table, origin, columns)
    problems += row_problems
    if problems:
        raise rows_error(problems)
    return rows


def select_rows(rows: Sequence[Row], spec: str) -> list[Row]:
    """The rows selected by a Python-like slice: `800:`, `:800`, `-200:`. Raises DataError if it is invalid or empty."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise DataError(f"rows {spec!r} is not a range: write it like '800:', ':800', '-200:' or '100:200'")
    start, stop = (int(bound) if bound else None for bound in match.groups())
    selected = list(rows[start:stop])
    if not selected:
        raise DataError(f"rows {spec!r} selects none of the {len(rows)} rows: name a range inside them")
    return selected


def distinct_questions(
    rows: Sequence[Row], origin: Origin, same: Callable[[str, str], bool] = lambda one, other: False
) -> tuple[list[Row], int]:
    """The first row of each question, and the number of repetitions left out.

    Raises DataError if the same question has different answers or different data. Surrounding blanks make no
    difference, nor do answers that `same` considers equal, as a judge may with 72 and 72.0.
    """
    first: dict[str, Row] = {}
    problems = []
    for row in rows:
        known = first.setdefault(row.question.strip(), row)
        if known.answer.strip() != row.answer.strip() and not same(known.answer, row.answer):
            problems.append(
                f"{origin.place(row.line)}: repeats the question of {origin.unit} {known.line} with another answer "
                f"({short(row.answer)}, not {short(known.answer)}): keep the right one ({short(row.question)})"
            )
        elif known.data != row.data:
            problems.append(
                f"{origin.place(row.line)}: repeats the question of {origin.unit} {known.line} with other data: keep "
                f"the right one ({short(row.question)})"
            )
    if problems:
        raise rows_error(problems)
    return list(first.values()), len(rows) - len(first)


def _missing_columns(table: Table, origin: Origin, columns: Columns) -> Iterator[str]:
    if not table.names:
        return
    wanted = {part: role for role, name in columns.named().items() for part in _parts(name, table.names)}
    missing = {part: role for part, role in wanted.items() if top_column(part, table.names) is None}
    if not missing:
        return
    known = [name for name in table.names if name not in wanted]
    meant = {role: _closest(part, known) or usual(role, known) for part, role in missing.items()}
    block = ", ".join(f"{role}: {name or 'COLUMN'}" for role, name in meant.items())
    first = table.records[0][1] if table.records else None
    whole = isinstance(first, dict) and first.keys() >= set(table.names)  # for parquet, only the used columns are read
    row = f", its first row is {short(first, _SHOWN_OF_ROW)}" if whole else ""
    yield (
        f"{origin.name}: has no column {' and no column '.join(map(repr, missing))}; its columns are "
        f"{listed(table.names)}{row}: write columns: {{{block}}}"
    )


def _closest(name: str, names: Sequence[str]) -> str | None:
    lowered = {one.lower(): one for one in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[close[0]] if close else None


def _check_rows(table: Table, origin: Origin, columns: Columns) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    problems: list[str] = []
    line_of_id: dict[str, int] = {}
    for line, record in table.records:
        try:
            row = _row(line, record, columns)
            if row.id is not None and line_of_id.setdefault(row.id, line) != line:
                raise ValueError(
                    f"the id {short(row.id)} is also that of {origin.unit} {line_of_id[row.id]}: give each row its own"
                )
            rows.append(row)
        except ValueError as error:
            problems.append(f"{origin.place(line)}: {error}")
    return rows, problems


def _row(line: int, record: Any, columns: Columns) -> Row:
    """Build a row from a record. Raises ValueError with the problem and how to fix it."""
    if isinstance(record, list):
        if len(record) != 2:
            raise ValueError(f"is a list of {len(record)}: write a pair [question, answer]")
        if columns.data is not None:
            raise ValueError(f"is a pair, so it has no {columns.data!r}: write an object with question and answer")
        return Row(_question(record[0]), gold(record[1]), None, None, line, number_text(record[1]) is not None)
    if not isinstance(record, dict):
        raise ValueError(f"is {kind(record)}: write a pair [question, answer] or an object")
    required = (columns.question, columns.answer, *filter(None, (columns.id, columns.data)))
    for name in (part for one in required for part in _parts(one, record)):
        if not find(record, name)[0]:
            hint = f"did you mean {other!r}?" if (other := numbered(record, name)) else "add it"
            raise ValueError(f"has no {name!r}, only {listed(list(record)) or 'nothing'}: {hint}")
    worked = columns.worked
    answer = _cell(record, columns.answer)
    return Row(
        question=_question(_cell(record, columns.question), _called("question", columns.question)),
        answer=gold(answer, _called("answer", columns.answer)),
        demonstration=_demonstration(_cell(record, worked), _called("demonstration", worked)),
        id=_id(_cell(record, columns.id or "id"), required=columns.id is not None),
        line=line,
        is_number=number_text(answer) is not None,
        data=json_object(find(record, columns.data)[1], _called("data", columns.data)) if columns.data else NO_DATA,
    )


def _parts(name: str, names: Collection[str]) -> list[str]:
    """The columns that a name in a recipe refers to; if a column has exactly that name, braces and all, that one."""
    return [name] if name in names else parts(name)


def _cell(record: dict[str, Any], name: str) -> Any:
    """A record's value in a column, or the text built from several, to which empty cells add nothing."""
    if name in record or not FIELD.search(name):
        return find(record, name)[1]
    texts: dict[str, str] = {}
    for part in parts(name):
        value = find(record, part)[1]
        if (messages := conversation(value)) is not None:
            value = _said(messages[0].text, f"the column {part!r}")
        if not missing(value) and not isinstance(value, str) and number_text(value) is None:
            raise ValueError(f"the column {part!r} is {kind(value)}: text can be built only from text and numbers")
        texts[part] = "" if missing(value) else value if isinstance(value, str) else str(number_text(value))
    if not any(text.strip() for text in texts.values()):
        return None
    return FIELD.sub(lambda found: texts[found[1]], name).strip()


def _called(what: str, column: str) -> str:
    """The name of a cell in messages: `the answer`, `the answer (column 'gold')`."""
    return f"the {what}" if what == column else f"the {what} (column {column!r})"


def _question(value: Any, what: str = "the question") -> str:
    if missing(value) or value == "":
        raise ValueError(f"{what} is empty: write one or leave the row out")
    if (messages := conversation(value)) is not None:
        roles = [message.role for message in messages]
        if roles[0] not in USER or not all(role in ASSISTANT for role in roles[1:]):
            raise ValueError(
                f"{what} is {kind(value)}: a question is one message of a user, with or without the answer to it; the "
                "content of a system message belongs in task.format.prompt"
            )
        value = _said(messages[0].text, what)
    if not isinstance(value, str):
        swap = "; if it is the answer, swap the two" if number_text(value) is not None else ""
        raise ValueError(f"{what} is {kind(value)}: write it as text{swap}")
    if not value.strip():
        raise ValueError(f"{what} is blank: write one or leave the row out")
    return _sound(value, "question")


def gold(value: Any, what: str = "the answer") -> str:
    """A gold answer as text; a list of one counts as its item. Raises ValueError with the problem and how to fix it."""
    if isinstance(value, str) and value.strip():
        return _sound(value, "answer")
    if value is None or isinstance(value, str):
        raise ValueError(f"{what} is empty: write one or leave the row out")
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{what} is {value}: write a finite number or leave the row out")
        return number_text(value) or answer_text(value)
    if (messages := conversation(value)) is not None:
        return gold(_said(lambda: reply(messages), what), what)
    if isinstance(value, list) and len(value) == 1:
        return gold(value[0], what)
    if isinstance(value, dict) and value:
        raise ValueError(f"{what} is {kind(value)}: name the field that holds it, like 'answer.{next(iter(value))}'")
    raise ValueError(f"{what} is {kind(value)}: write a number or text")


def _demonstration(value: Any, what: str) -> str | None:
    if missing(value) or value == "":
        return None
    if (messages := conversation(value)) is not None:
        value = _said(lambda: reply(messages), what)
    if not isinstance(value, str):
        raise ValueError(f"{what} is {kind(value)}: write it as text, or leave it empty")
    return _sound(value, "demonstration") if value.strip() else None


def json_object(value: Any, what: str) -> JsonObject:
    """The JSON object in a cell: a struct, or JSON as text. Raises ValueError for anything else."""
    read = value
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{what} is text that is not JSON ({short(value)}): write an object") from None
    if not isinstance(read, dict):
        text = "JSON text of " if isinstance(value, str) else ""
        raise ValueError(f"{what} is {text}{kind(read)}: write an object, {{}} if there is no data")
    try:
        return JsonObject(read)
    except (TypeError, ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(f"{what} is not JSON: {why}: use only text, numbers, lists and objects") from None


def _said(say: Callable[[], str], what: str) -> str:
    """The text of a message. Raises ValueError naming the cell if there is none."""
    try:
        return say()
    except ValueError as error:
        raise ValueError(f"{what} is {error}: write it as text") from None


def _id(value: Any, required: bool) -> str | None:
    # Tables with gaps turn whole numbers into floats: 7.0 was a 7.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if missing(value) or (isinstance(value, str) and not value.strip()):
        if required:
            raise ValueError("the id is empty: write one")
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise ValueError(f"the id is {kind(value)}: write text or a whole number")
    return _sound(str(value).strip(), "id")


def _sound(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {what} holds half a character (a lone surrogate): correct {short(text)}") from None
    return text


def rows_error(problems: Sequence[str]) -> DataError:
    """An error with the first ten problems of a table's rows, and the number of further ones."""
    more = len(problems) - _SHOWN_PROBLEMS
    return DataError(*problems[:_SHOWN_PROBLEMS], *([f"... and {more} more"] if more > 0 else []))
