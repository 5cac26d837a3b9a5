"""Guesses about a task from the rows of a file: the role of each column, the judge, and how solutions end.

Every guess comes with its reason in words. If the rows do not suggest an answer, nothing is guessed: an error shows a
row and names the columns.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.answers.formats import AnswerFormat, load_format
from orchestrator.answers.judges import ChoiceJudge, ExactJudge, MathJudge, NumericJudge
from orchestrator.answers.judges.base import BaseJudge
from orchestrator.answers.judges.choice import is_letter
from orchestrator.answers.numbers import parse_number
from orchestrator.errors import DataError
from orchestrator.tasks.cells import find, missing
from orchestrator.tasks.columns import CHAT, Columns, usual
from orchestrator.tasks.files import Table, listed, origin_of, read_table, short
from orchestrator.tasks.rows import Row, checked_rows

_GSM8K = re.compile(r"\n\s*####[^\n]*\s*\Z")
_TEX = re.compile(r"\\[a-zA-Z]+|\^|\{")
_OPTIONS = re.compile(r"(?:^|\s)[(\[]?[A-D][)\].:]\s", re.MULTILINE)
_MOST = 0.9
"""Share of rows from which a pattern is assumed to hold for all of them."""
_ENDS = ("tags", "hash", "boxed", "marker")
"""The formats that solutions may have been written for."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A setting of the recipe, and the reason for it."""

    setting: Any
    """As written in a recipe; None: the default is right."""
    why: str


@dataclass(frozen=True, slots=True)
class Guesses:
    """Everything guessed from the rows of a file."""

    rows: list[Row]
    columns: dict[str, str]
    """Role to name, only for columns whose names differ from orch's."""
    named: frozenset[str]
    """The roles whose columns the user has named."""
    kind: Guess
    """The task's type."""
    judge: Guess
    format: Guess
    has_solutions: bool
    """Whether at least half of the rows have a worked solution."""
    longest: int
    """Characters of the longest target that a model should write."""


class _AllColumns(Columns):
    """Selects every column of a table."""

    def among(self, names: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(names))


def guess(path: Path, named_by_user: Mapping[str, str]) -> Guesses:
    """Guess the task of a file of questions and answers; `named_by_user` are columns by role.

    Raises:
        DataError: it cannot be read, or the roles of its columns are not clear.
    """
    table = read_table(path, _AllColumns())
    columns = _columns(path, table, named_by_user)
    named = Columns.model_validate(columns)
    golds = [str(find(record, named.answer)[1]) for _, record in table.records if isinstance(record, dict)]
    if golds and sum(_GSM8K.search(gold) is not None for gold in golds) >= _MOST * len(golds):
        rows = checked_rows(table, origin_of(path), Columns.model_validate(columns | {"demonstration": None}))
        return Guesses(
            rows,
            {role: name for role, name in columns.items() if role in ("question", "answer") and role != name},
            frozenset(named_by_user),
            Guess("gsm8k", "the answers end in `#### 72`, after a worked solution, as GSM8K's do"),
            Guess(None, "the same number, however it is written"),
            Guess(None, "`#### 72`, as in the file"),
            True,
            max(len(row.answer) for row in rows),
        )
    rows = _apart(checked_rows(table, origin_of(path), named))
    worked = [row for row in rows if row.demonstration is not None]
    judge, how = _judge(rows)
    longest = max(len(row.demonstration or row.answer) for row in rows) + len("<answer></answer>") + 12
    return Guesses(
        rows,
        {
            role: name
            for role, name in columns.items()
            if role != name and (role, name) != ("demonstration", "solution")
        },
        frozenset(named_by_user),
        Guess("file", "every split is read from your file"),
        judge,
        _format(worked, how),
        len(worked) >= len(rows) / 2,
        longest,
    )


def _columns(path: Path, table: Table, named: Mapping[str, str]) -> dict[str, str]:
    """The role of each column. Rows that are pairs have no columns."""
    if not table.names:
        return {}
    if (lost := next((name for name in named.values() if name not in table.names), None)) is not None:
        raise DataError(f"{path}: has no column {lost!r}; its columns are {listed(table.names)}")
    question = named.get("question") or _asked(table) or usual("question", table.names)
    answer = named.get("answer") or usual("answer", table.names)
    worked = named.get("demonstration") or usual("demonstration", [name for name in table.names if name not in CHAT])
    answer = answer or worked  # solutions may end in their answers
    if question is None and answer is not None and len(answer) == 1 and "answer" not in named:
        answer = None  # a column `a` means the answers only beside a column `q`
    rest = [name for name in table.names if name not in (question, answer, worked)]
    if question is None and answer is not None and len(rest) == 1:
        question = rest[0]
    if answer is None and question is not None and len(rest) == 1:
        answer = rest[0]
    wanting = [role for role, name in (("question", question), ("answer", answer)) if name is None]
    if wanting:
        row = table.records[0][1] if table.records else {}
        raise DataError(
            f"{path}: no column looks like the {' or the '.join(wanting)}; its columns are {listed(table.names)}, its "
            f"first row is {short(row)}: name them with --question COLUMN --answer COLUMN, and worked solutions with "
            "--solution COLUMN"
        )
    if question == answer and question not in CHAT:
        raise DataError(
            f"{path}: {question!r} cannot be both the question and the answer; its columns are "
            f"{listed(table.names)}: name two of them with --question COLUMN --answer COLUMN"
        )
    found = {"question": question, "answer": answer}
    if worked is not None and any(not missing(find(record, worked)[1]) for _, record in table.records):
        found["demonstration"] = worked
    return {role: str(name) for role, name in found.items()}


def _asked(table: Table) -> str | None:
    """An instruction column and its input column as one text; None: there are no such columns."""
    names = {name.lower(): name for name in table.names}
    if not names.keys() >= {"instruction", "input"}:
        return None
    if not any(find(record, names["input"])[1] for _, record in table.records):
        return None
    return f"{{{names['instruction']}}}\n\n{{{names['input']}}}"


def _judge(rows: Sequence[Row]) -> tuple[Guess, BaseJudge]:
    golds = [row.answer for row in rows]
    n = len(golds)
    if all(is_letter(gold) for gold in golds):
        asked = sum(_OPTIONS.search(row.question) is not None for row in rows)
        return (
            Guess({"type": "choice"}, f"all {n:,} answers are one letter, and {asked:,} questions list options"),
            ChoiceJudge(),
        )
    numbers = sum(parse_number(gold) is not None for gold in golds)
    tex = sum(_TEX.search(gold) is not None for gold in golds)
    if numbers == n and not tex:
        if all(gold.strip().lstrip("-").isdigit() for gold in golds):
            return (
                Guess({"type": "numeric", "tolerance": 0}, f"all {n:,} answers are whole numbers: no tolerance"),
                NumericJudge(tolerance=0.0),
            )
        why = f"all {n:,} answers are numbers; their decimals decide the tolerance (`orch check` shows it)"
        return Guess({"type": "numeric"}, why), NumericJudge()
    if tex:
        return Guess({"type": "math"}, f"{tex:,} of {n:,} answers contain LaTeX or powers"), MathJudge()
    why = f"{n - numbers:,} of {n:,} answers are text: the same text is right, ignoring case"
    return Guess({"type": "exact", "casefold": True}, why), ExactJudge(casefold=True)


def _apart(rows: list[Row]) -> list[Row]:
    """The rows; if their answers are worked solutions that end in a known format, with the gold answers split off."""
    for kind in _ENDS:
        found = load_format({"type": kind})
        ends = [found.ending(row.answer) for row in rows]
        if sum(end is not None for end in ends) >= _MOST * len(rows):
            return [
                row if end is None else replace(row, answer=end, demonstration=row.demonstration or row.answer)
                for row, end in zip(rows, ends, strict=True)
            ]
    return rows


def _format(worked: Sequence[Row], judge: BaseJudge) -> Guess:
    """The format that the solutions already follow, else tags, which are appended to each."""
    if not worked:
        return Guess({"type": "tags"}, "`<answer>72</answer>`")
    for kind in _ENDS:
        found = load_format({"type": kind})
        ended = sum(_ends_in_gold(row, found, judge) for row in worked) / len(worked)
        if ended >= _MOST:
            return Guess({"type": kind}, f"{ended:.0%} of the worked solutions already end like this, correctly")
    return Guess({"type": "tags"}, "`<answer>72</answer>`, which is appended to the worked solutions")


def _ends_in_gold(row: Row, form: AnswerFormat, judge: BaseJudge) -> bool:
    found = form.extract(row.demonstration or "")
    return found is not None and judge.judge(found, row.answer, "stop").status == "correct"
