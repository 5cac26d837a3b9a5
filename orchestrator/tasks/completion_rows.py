"""The rows of a file of completions: each with its gold answer and one or more completions.

Reads cells and reports their content; it must not know how an answer is judged.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from orchestrator.errors import DataError
from orchestrator.tasks.cells import USER, conversation, find, missing, number_text, numbered, shape, top_column
from orchestrator.tasks.columns import Columns
from orchestrator.tasks.draws import REASONS, Draw, draws_of, finish_reason, reasons_of, says_why
from orchestrator.tasks.files import Origin, Table, listed
from orchestrator.tasks.rows import gold, json_object, rows_error
from orchestrator.types import NO_DATA, FinishReason, JsonObject

_TELL_APART = ("id", "uid", "uuid", "draw", "sample", "seed", "index", "idx", "doc_id", "example_id", "custom_id", "n")
"""Columns that distinguish rows with the same texts."""
_DATA = "data"


class CompletionColumns(Columns):
    """Which columns of a file of completions contain what."""

    text: str = "text"
    """Text, or the output of common tools: messages, lists of draws, API responses."""
    finish_reason: str = "finish_reason"
    """`length`, `max_tokens` and the like mean that the completion was cut off. The column may be missing."""
    data: str | None = Field(default=None, min_length=1)
    """The column of further data to judge by; None: the column `data` if it contains objects."""

    def used(self) -> set[str]:
        named = {self.question, self.answer, self.text, self.finish_reason, self.data or _DATA}
        return {*named, *REASONS, *_TELL_APART}


@dataclass(frozen=True, slots=True)
class Gold:
    """A row's question and gold answer."""

    place: str
    line: int
    question: str | None
    answer: str
    why: str | None
    """Why the row cannot be judged, such as a missing gold answer; None if it can."""
    is_number: bool = False
    """Whether the answer is a number in the file."""
    data: JsonObject = NO_DATA
    """Further data to judge by."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion of a row."""

    row: int
    """Counted from 0."""
    draw: int
    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class CompletionRows:
    """The content of a file of completions."""

    golds: tuple[Gold, ...]
    """One per row."""
    completions: tuple[Completion, ...]
    """All of them, in the file's order; a row has at least one."""
    notes: tuple[str, ...]
    """Remarks on the file for readers of the results."""


def read_completions(table: Table, origin: Origin, columns: CompletionColumns) -> CompletionRows:
    """The completions of all rows. Raises DataError with every row whose cell is not a completion."""
    if not any(find(record, columns.text)[0] for _, record in table.records):
        first = find(table.records[0][1], top_column(columns.text, table.names) or "")[1]
        other = next(filter(None, (numbered(record, columns.text) for _, record in table.records)), None)
        hint = (
            f"items of lists are reached by their number, from 0: did you mean {other!r}?" if other else "name another"
        )
        raise DataError(f"{origin.name}: no row has a field {columns.text!r}; the column is {shape(first)}: {hint}")
    golds: list[Gold] = []
    completions: list[Completion] = []
    problems: list[str] = []
    odd_questions: list[Any] = []
    unknown: Counter[str] = Counter()
    for row, (line, record) in enumerate(table.records):
        place = origin.place(line)
        asked = find(record, columns.question)[1]
        question = asked if isinstance(asked, str) else _question(asked)
        if question is None and not missing(asked):
            odd_questions.append(asked)
        answer = _gold(find(record, columns.answer)[1], question, columns.answer, place, line)
        if not find(record, columns.text)[0]:
            answer = replace(answer, why=f"has no {columns.text!r}, only {listed(list(record)) or 'nothing'}: add it")
        golds.append(_with_data(answer, record, columns))
        try:
            for number, draw in enumerate(_draws(record, columns)):
                cut, odd = finish_reason(draw.reason)
                completions.append(Completion(row, number, draw.text, cut))
                unknown.update([] if odd is None else [odd])
        except ValueError as error:
            problems.append(f"{place}: the completion (column {columns.text!r}) is {error}: write it as text")
    if problems:
        raise rows_error(problems)
    notes = [*_several(len(golds), len(completions)), *_repeated(table)]
    if odd_questions:
        what = f"the question (column {columns.question!r}) is {shape(odd_questions[0])}"
        notes.append(f"{what} in {_rows(len(odd_questions))}: left out")
    notes += [
        f"{columns.finish_reason} {word!r:.80} ({times:,} times) is unknown: treated as ended normally, not as cut off"
        for word, times in unknown.most_common(5)
    ]
    return CompletionRows(tuple(golds), tuple(completions), tuple(notes))


def _draws(record: dict[str, Any], columns: CompletionColumns) -> Sequence[Draw]:
    value, given = find(record, columns.text)[1], _reason(record, columns)
    if isinstance(value, str) and (given is None or isinstance(given, str)):
        return (Draw(value, given),)
    draws = draws_of(value)
    if given is None:
        return draws
    reasons = reasons_of(given, len(draws))
    return [d if d.reason is not None else Draw(d.text, why) for d, why in zip(draws, reasons, strict=True)]


def _reason(record: dict[str, Any], columns: CompletionColumns) -> Any:
    """A row's finish reasons: from the named column, else from one that other tools use; None if there are none."""
    given = (find(record, name)[1] for name in (columns.finish_reason, *REASONS))
    return next(filter(says_why, given), None)


def _gold(value: Any, question: str | None, column: str, place: str, line: int) -> Gold:
    if missing(value) or (isinstance(value, str) and not value.strip()):
        return Gold(place, line, question, "", "there is no gold answer: write one or leave the row out")
    try:
        # half a character is kept: it is judged as it is, and affects no other row
        return Gold(
            place,
            line,
            question,
            value if isinstance(value, str) else gold(value),
            None,
            number_text(value) is not None,
        )
    except ValueError as error:
        named = str(error).replace("the answer", f"the gold answer (column {column!r})", 1)
        return Gold(place, line, question, "", named)


def _with_data(gold: Gold, record: dict[str, Any], columns: CompletionColumns) -> Gold:
    """Add the row's data. If the column is named but the row has no data in it, the row cannot be judged."""
    name = columns.data or _DATA
    try:
        return replace(gold, data=json_object(find(record, name)[1], f"the data (column {name!r})"))
    except ValueError as error:
        return gold if columns.data is None else replace(gold, why=gold.why or str(error))


def _question(value: Any) -> str | None:
    """A question as text; for a conversation, the user's last message. None if there is none, or it is not text."""
    if isinstance(value, str):
        return value
    for message in reversed(conversation(value) or []):
        if message.role in USER:
            with suppress(ValueError):
                return message.text()
    return number_text(value)


def _several(rows: int, completions: int) -> list[str]:
    if completions == rows:
        return []
    return [
        f"{completions:,} completions in {_rows(rows)}, and each is judged; the interval is based on {_rows(rows)}, as "
        "draws for the same question may all be alike"
    ]


def _repeated(table: Table) -> list[str]:
    n = len(table.records)
    left = n - len({_identity(record) for _, record in table.records})
    return [f"{left:,} of {_rows(n)} are duplicates: equal to an earlier one in all columns"] if left else []


def _identity(record: dict[str, Any]) -> Hashable:
    key = tuple(record.items())
    try:
        hash(key)
    except TypeError:  # a cell that is a list or a struct
        return repr(key)
    return key


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"
