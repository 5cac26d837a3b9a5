"""Reads the answers of models from their evaluations, aligns them by question, and refuses different questions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.sampling.completions import Summary, summary_by_question


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model, or the models of one recipe with several seeds, and the files of their evaluations."""

    label: str
    model: str
    seeds: tuple[int, ...]
    """Empty if no seed affects it, as for the base model: then there is one file."""
    run_ids: tuple[str, ...]
    files: tuple[Path, ...]
    """The results file of each seed."""
    seconds: float | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one label."""

    right: NDArray[np.float64]
    """Seeds x questions, with the same order of questions for every label: the share of a question's answers that is
    right, which is 0 or 1 if it has one answer."""
    summaries: tuple[Summary, ...]
    """One per seed."""

    @property
    def drawn(self) -> bool:
        """Whether each question was answered several times."""
        return any(one.questions is not None for one in self.summaries)


def read_answers(evaluated: Sequence[Evaluated]) -> list[Answers]:
    """The answers of each label.

    Raises:
        InputError: an evaluation cannot be read, or its questions are not those of the first.
    """
    first: pa.Table | None = None
    found = []
    for one in evaluated:
        rows, summaries = [], []
        for file in one.files:
            table, counted = _questions(_read(one.label, file))
            if first is None:
                first, first_label = table, one.label
            elif (parts := _other_questions(first, table)) is not None:
                raise InputError(f"{first_label} and {one.label} were not evaluated on the same questions: {parts}")
            rows.append(table["right"].to_numpy())
            summaries.append(counted)
        found.append(Answers(np.array(rows), tuple(summaries)))
    return found


def _questions(answers: pa.Table) -> tuple[pa.Table, Summary]:
    """One row per question, sorted by id, with the share of its answers that is right; and the summary."""
    right = pc.equal(answers["status"], "correct").cast(pa.float64())
    counted = summary_by_question(answers)
    if counted.questions is None:
        return answers.select(_ASKED).append_column("right", right), counted
    table = answers.select(_ASKED).append_column("right", right).group_by(_ASKED).aggregate([("right", "mean")])
    table = table.select([*_ASKED, "right_mean"]).rename_columns([*_ASKED, "right"]).sort_by("example_id")
    return table, counted


_ASKED = ("example_id", "question", "gold")
_COLUMNS = (*_ASKED, "status", "n_tokens")


def _read(label: str, file: Path) -> pa.Table:
    try:
        names = [name for name in pq.read_schema(file).names if name in _COLUMNS]
        if missing := [name for name in (*_ASKED, "status") if name not in names]:
            why = f"it has no column {', '.join(missing)}"
            raise InputError(f"the evaluation of {label} cannot be read ({file}): {why}; run its recipe again")
        return pq.read_table(file, columns=names).sort_by("example_id")
    except (OSError, pa.ArrowInvalid) as error:
        why = str(error).splitlines()[0][:200]
        raise InputError(f"the evaluation of {label} cannot be read ({file}): {why}; run its recipe again") from None


def questions_of(file: Path) -> str:
    """A digest of an evaluation's questions and gold answers, whatever their order.

    Raises:
        InputError: the evaluation cannot be read.
    """
    table, _ = _questions(_read("a model", file))
    rows = zip(*(table[name].to_pylist() for name in _ASKED), strict=True)
    return hashlib.sha256("\0".join(map(repr, rows)).encode()).hexdigest()


def _other_questions(ours: pa.Table, theirs: pa.Table) -> str | None:
    """How the questions of two evaluations differ; None if they do not."""
    if ours.select(_ASKED).equals(theirs.select(_ASKED)):
        return None
    a, b = (set(zip(*(t[name].to_pylist() for name in _ASKED), strict=True)) for t in (ours, theirs))
    if len(a) != len(b) or not a & b:
        return f"{len(a):,} and {len(b):,} questions, of which {len(a & b):,} are the same"
    if a == b:
        return (
            f"the same {len(a):,} questions in {ours.num_rows:,} and {theirs.num_rows:,} rows, or with other column "
            "types"
        )
    here, there = min(a - b, key=str), min(b - a, key=str)
    return f"{len(a - b):,} of {len(a):,} differ, such as {_shown(here)} and {_shown(there)}"


def _shown(row: tuple[object, ...]) -> str:
    return f"{str(row[0])[:40]!r} ({', '.join(repr(str(part)[:60]) for part in row[1:])})"
