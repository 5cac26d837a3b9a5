"""Files of completions merged question by question, in whatever pieces they are read."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DataError
from orchestrator.sampling import completions
from orchestrator.sampling.completions import SCHEMA, put_side_by_side, whole_questions, writing
from orchestrator.store.tables import batches_of

COLUMNS = ("example_id", "draw", "text")


def write(path: Path, draws: dict[str, int], name: str) -> list[tuple[str, int, str]]:
    rows = [(question, draw, f"{name}{question}{draw}") for question, n in draws.items() for draw in range(n)]
    table = pa.table({"example_id": [r[0] for r in rows], "draw": [r[1] for r in rows], "text": [r[2] for r in rows]})
    for missing in SCHEMA.names[3:]:
        table = table.append_column(missing, pa.nulls(len(rows), SCHEMA.field(missing).type))
    with writing(path, SCHEMA) as out:
        out.write_table(table.select(SCHEMA.names).cast(SCHEMA))
    return rows


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_draws_stand_together_by_question_and_in_the_files_order(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    questions = [f"q{number}" for number in range(data.draw(st.integers(1, 6)))]
    files = [
        write(folder / f"{name}.parquet", {q: data.draw(st.integers(1, 4)) for q in questions}, name)
        for name in "abc"[: data.draw(st.integers(1, 3))]
    ]
    with pytest.MonkeyPatch.context() as patch:
        rows, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
        patch.setattr(completions, "batches_of", lambda path, columns: batches_of(path, columns, rows))
        patch.setattr(completions, "whole_questions", lambda batches: whole_questions(batches, size))
        pieces = list(put_side_by_side(sorted(folder.glob("*.parquet")), COLUMNS))
    found = [tuple(row.values()) for piece in pieces for row in piece.to_pylist()]
    assert found == [
        (question, number * 1_000_000 + draw, text)
        for wanted in questions
        for number, rows_of in enumerate(files)
        for question, draw, text in rows_of
        if question == wanted
    ]
    assert not any(set(a["example_id"].to_pylist()) & set(b["example_id"].to_pylist()) for a, b in pairwise(pieces))


def test_a_file_that_lacks_questions_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"q1": 1, "q2": 1}, "a")
    write(tmp_path / "b.parquet", {"q1": 1}, "b")
    with pytest.raises(DataError, match=r"b\.parquet lacks the draws of question 'q2'"):
        list(put_side_by_side([tmp_path / "a.parquet", tmp_path / "b.parquet"], COLUMNS))
