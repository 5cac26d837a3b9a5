"""The rows of a file of completions: each with its gold answer, and with one completion or several.

It reads cells and says what is in them; it must not know how an answer is judged.
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
"""Columns that make two rows with the same texts two rows."""
_DATA = "data"


class CompletionColumns(Columns):
    """Which columns of a file of completions hold what."""

    text: str = "text"
    """Text, or what tools write: messages, lists of draws, the answers of an API."""
    finish_reason: str = "finish_reason"
    """`length`, `max_tokens` and the like say that the completion was cut off; a file without this column does not."""
    data: str | None = Field(default=None, min_length=1)
    """What the task judges by beside the gold answer; None: the column `data` where it holds objects."""

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
    """Why the row cannot be judged: there is no answer in it, or no completion; None where it can."""
    is_number: bool = False
    """Whether it is a number in the file."""
    data: JsonObject = NO_DATA
    """What the task judges by beside it."""


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
    """A file of completions as it was read."""

    golds: tuple[Gold, ...]
    """One for each row."""
    completions: tuple[Completion, ...]
    """All of them, in the file's order; a row has at least one."""
    notes: tuple[str, ...]
    """What a reader of the figures should know of the file."""


def read_completions(table: Table, origin: Origin, columns: CompletionColumns) -> CompletionRows:
    """The completions of all rows. Raises DataError where a row holds something that is none, with every such row."""
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
        f"{columns.finish_reason} {word!r:.80} ({times:,} times) is not known: taken as ended by itself, not as cut off"
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
    """Why a row's completions ended: as the named column says, else one that another tool calls so; None: none does."""
    given = (find(record, name)[1] for name in (columns.finish_reason, *REASONS))
    return next(filter(says_why, given), None)


def _gold(value: Any, question: str | None, column: str, place: str, line: int) -> Gold:
    if missing(value) or (isinstance(value, str) and not value.strip()):
        return Gold(place, line, question, "", "there is no gold answer: write one or leave the row out")
    try:
        # half a character is kept: it is judged as it stands, and costs no other row
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
    """With the row's data; one that has none in a column that was named cannot be judged."""
    name = columns.data or _DATA
    try:
        return replace(gold, data=json_object(find(record, name)[1], f"the data (column {name!r})"))
    except ValueError as error:
        return gold if columns.data is None else replace(gold, why=gold.why or str(error))


def _question(value: Any) -> str | None:
    """A question as text; of a conversation what the user says last; None where there is none, or none that is text."""
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
        f"{completions:,} completions in {_rows(rows)}, and each is judged; the interval is that of {_rows(rows)}, as "
        "draws of one question may all be alike"
    ]


def _repeated(table: Table) -> list[str]:
    n = len(table.records)
    left = n - len({_identity(record) for _, record in table.records})
    return [f"{left:,} of {_rows(n)} occur twice: equal to an earlier one in all columns"] if left else []


def _identity(record: dict[str, Any]) -> Hashable:
    key = tuple(record.items())
    try:
        hash(key)
    except TypeError:  # a cell that is a list or a struct
        return repr(key)
    return key


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"
