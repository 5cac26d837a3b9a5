"""Rows from a user's own file: every format, and every way to get it wrong."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from orchestrator.errors import DataError
from orchestrator.tasks.cells import find
from orchestrator.tasks.columns import Columns
from orchestrator.tasks.files import origin_of, read_table
from orchestrator.tasks.rows import Row, distinct_questions, gold, read_rows, select_rows

TWO_ROWS = [Row("a?", "1", None, None, 1), Row("b?", "x", None, None, 2)]


def write(folder: Path, name: str, content: str | bytes | list[Any] | dict[str, Any]) -> Path:
    path = folder / name
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems(path: Path, columns: Columns | None = None) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_rows(path, columns or Columns())
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


# --- valid files


def test_json_pairs(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, "a.json", [["a?", 1], ["b?", "x"]]), Columns()) == TWO_ROWS


def test_json_objects(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": 1, "more": [1]}, {"question": "b?", "answer": "x"}]
    assert read_rows(write(tmp_path, "a.JSON", rows), Columns()) == TWO_ROWS


def test_jsonl_counts_lines_and_skips_blank_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '["a?", 1]\r\n\n  \n{"question": "b\u2028?", "answer": "x"}')
    assert read_rows(path, Columns()) == [Row("a?", "1", None, None, 1), Row("b\u2028?", "x", None, None, 4)]


def test_csv_answers_stay_text_and_lines_are_counted_through_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'question, answer,,\n"a,\n""b""?",1.50,,\n\nc?,x,,\n')
    assert read_rows(path, Columns()) == [Row('a,\n"b"?', "1.50", None, None, 2), Row("c?", "x", None, None, 5)]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x=1" / "a.parquet"
    path.parent.mkdir()
    columns = {"question": ["a?", "b?"], "a.b": [1, 2], "id": [7.0, None], "unused": [object.__doc__, None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    rows = read_rows(path, Columns(answer="a.b"))
    assert rows == [Row("a?", "1", None, "7", 1), Row("b?", "2", None, None, 2)]


def test_numbers_of_parquet_become_their_shortest_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for kind, numbers, text in (
        (pyarrow.float64(), [72.0, 99999.99, 1e20], ["72", "99999.99", "1e20"]),
        (pyarrow.float32(), [72.0, 0.1, 1e20], ["72", "0.1", "1e20"]),
        (pyarrow.float16(), np.array([72.0, 0.1, 0.333], np.float16), ["72", "0.1", "0.333"]),
        (pyarrow.decimal128(6, 2), [Decimal("72.50"), Decimal("72.00"), Decimal("-0.10")], ["72.50", "72.00", "-0.10"]),
        (pyarrow.decimal128(12, 9), [Decimal("0.000000001"), Decimal(0), Decimal(1)], None),
        (pyarrow.int64(), [72, 9007199254740993, -1], ["72", "9007199254740993", "-1"]),
    ):
        table = {"question": ["a?", "b?", "c?"], "answer": pyarrow.array(numbers, kind)}
        pyarrow.parquet.write_table(pyarrow.table(table), path)
        text = text or ["0.000000001", "0.000000000", "1.000000000"]
        assert [row.answer for row in read_rows(path, Columns())] == text


def test_short_floats_inside_other_cells(tmp_path: Path) -> None:
    inside = pyarrow.struct({"a": pyarrow.list_(pyarrow.float32()), "b": pyarrow.float16(), "c": pyarrow.string()})
    cells = [{"a": [0.1], "b": np.float16(0.1), "c": "x"}, {"a": None, "b": None, "c": "y"}]
    table = pyarrow.table({"question": ["a?", "b?"], "answer": pyarrow.array(cells, inside)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for column in ("answer.a", "answer.b"):
        first, second = read_table(tmp_path / "a.parquet", Columns(answer=column)).records
        assert gold(find(first[1], column)[1]) == "0.1" and find(second[1], column) == (True, None)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_a_byte_order_mark_is_tolerated(tmp_path: Path, name: str) -> None:
    text = {"a.json": '[["a?", "1"]]', "a.jsonl": '["a?", "1"]', "a.csv": "question,answer\na?,1"}[name]
    [row] = read_rows(write(tmp_path, name, b"\xef\xbb\xbf" + text.encode()), Columns())
    assert (row.question, row.answer) == ("a?", "1")


def test_demonstrations_and_ids_are_found_by_name_or_by_setting(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": 1, "demonstration": "so 1", "id": 5, "uid": "u", "worked": "w"},
        {"question": "b?", "answer": 2, "demonstration": " ", "id": None, "uid": "v", "worked": None},
    ]
    path = write(tmp_path, "a.json", rows)
    assert [(r.demonstration, r.id) for r in read_rows(path, Columns())] == [("so 1", "5"), (None, None)]
    named = Columns(demonstration="worked", id="uid")
    assert [(r.demonstration, r.id) for r in read_rows(path, named)] == [("w", "u"), (None, "v")]


def test_numbers_of_every_size(tmp_path: Path) -> None:
    written = ["1e3", "-2", "72.0", "99999.990", "1234.567", "1e20", "1E-400", "12345678901234567891", "1" * 5000]
    path = write(tmp_path, "a.jsonl", "\n".join(f'["q?", {number}]' for number in written))
    assert [row.answer for row in read_rows(path, Columns())] == written


def test_text_is_kept_as_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", [[" {a?}\n", " 007 "]])
    assert read_rows(path, Columns()) == [Row(" {a?}\n", " 007 ", None, None, 1)]


# --- files that cannot be read


def test_a_missing_file_names_the_closest_one(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "")
    [problem] = problems(tmp_path / "trian.jsonl")
    assert "no such file" in problem and f"did you mean '{tmp_path / 'train.jsonl'}'" in problem
    [problem] = problems(tmp_path / "zzz.csv")
    assert "no such file" in problem and "did you mean" not in problem
    [problem] = problems(tmp_path / "nowhere" / "a.csv")
    assert f"nor a folder {tmp_path / 'nowhere'}" in problem


def test_a_folder_lists_its_files(tmp_path: Path) -> None:
    assert "name a .json, .jsonl, .csv, .parquet file" in problems(tmp_path)[0]
    write(tmp_path, "a.csv", "")
    assert "is a folder: name one of its files: 'a.csv'" in problems(tmp_path)[0]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert "not a regular file" in problems(tmp_path / "a.json")[0]


@pytest.mark.parametrize("name", ["a.txt", "a.json.gz", "plain"])
def test_unknown_endings_list_the_known_ones(tmp_path: Path, name: str) -> None:
    assert "save it as .json, .jsonl, .csv, .parquet" in problems(write(tmp_path, name, "[]"))[0]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.parquet"])
def test_empty_files(tmp_path: Path, name: str) -> None:
    assert "is empty" in problems(write(tmp_path, name, ""))[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "[]"), ("a.csv", "question,answer\n"), ("a.json", " \n"), ("a.csv", "\n"), ("a.jsonl", "\ufeff\n")],
)
def test_files_without_rows(tmp_path: Path, name: str, text: str) -> None:
    [problem] = problems(write(tmp_path, name, text))
    assert "write at least one question" in problem


def test_parquet_without_rows(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"question": [], "answer": []}), tmp_path / "a.parquet")
    assert "no rows" in problems(tmp_path / "a.parquet")[0]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_files_that_are_not_text(tmp_path: Path, name: str) -> None:
    assert "line 2: is not UTF-8" in problems(write(tmp_path, name, b'["a?", 1]\n["caf\xe9", 2]'))[0]
    assert "UTF-16" in problems(write(tmp_path, name, "question,answer\na,1".encode("utf-16")))[0]
    assert "NUL" in problems(write(tmp_path, name, b"PK\x03\x04\x00\x00"))[0]


@pytest.mark.parametrize("content", [b"not parquet", b"PAR1", b"PAR1" + b"\x07" * 100 + b"PAR1"])
def test_files_that_are_not_parquet(tmp_path: Path, content: bytes) -> None:
    assert "not a readable parquet file (" in problems(write(tmp_path, "a.parquet", content))[0]


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.parquet"])
def test_permissions(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, name, "x")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied): check" in problems(path)[0]
    monkeypatch.setattr(Path, "is_dir", refuse)
    assert "cannot be read (Permission denied): check" in problems(path)[0]


# --- malformed content


def test_malformed_json_names_line_and_column(tmp_path: Path) -> None:
    assert "line 2, column 7: is not valid JSON" in problems(write(tmp_path, "a.json", '[["a?", 1],\n["b?" 2]]'))[0]


def test_json_lines_under_the_wrong_ending(tmp_path: Path) -> None:
    assert "name the file .jsonl" in problems(write(tmp_path, "a.json", '["a?", 1]\n["b?", 2]'))[0]
    assert "name it .json" in problems(write(tmp_path, "a.jsonl", '[\n["a?", 1]\n]'))[0]


def test_every_malformed_line_is_named(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "a.jsonl", '["a?", 1]\n["b?"\n{}\nnope\n[]'))
    assert [problem.split(":")[0].rpartition("a.jsonl, ")[2] for problem in found] == [
        "line 2, column 6",
        "line 4, column 1",
        "line 3",
        "line 5",
    ]


def test_a_key_that_occurs_twice_is_named_with_its_line(tmp_path: Path) -> None:
    doubled = '{"question": "a \\" {?", "answer": "72", "more": [{"answer": 1}], "answer": "5"}'
    lines = '{"question": "a?", "answer": 1}\n' + doubled + '\n{"question": "b?", "answer": 1}'
    said = "line 2: the key 'answer' occurs twice in one object: keep the right one"
    assert problems(write(tmp_path, "a.jsonl", lines)) == [f"{tmp_path / 'a.jsonl'}, {said}"]
    spread = "[" + lines.replace("\n", ",\n").replace(', "answer": "5"', ',\n\n"answer": "5"') + "]"
    assert problems(write(tmp_path, "a.json", spread)) == [f"{tmp_path / 'a.json'}, {said.replace('2', '4', 1)}"]
    inside = '["a?", {"value": 1, "value": 1}]'
    assert "line 1: the key 'value' occurs twice" in problems(write(tmp_path, "a.jsonl", inside))[0]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_bottomless_nesting(tmp_path: Path, name: str) -> None:
    assert "too deep" in problems(write(tmp_path, name, "[" * 100_000))[0]


@pytest.mark.parametrize("content", [{"data": {}}, 5, "text", None])
def test_json_that_is_no_list(tmp_path: Path, content: Any) -> None:
    assert "not a list: write a list of" in problems(write(tmp_path, "a.json", json.dumps(content)))[0]


def test_rows_in_the_one_list_of_an_object(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": 1}, ["b?", "x"]]
    for content in ({"data": rows}, {"version": 2, "meta": {"n": [1]}, "data": rows}):
        assert read_rows(write(tmp_path, "a.json", json.dumps(content)), Columns()) == TWO_ROWS
    assert "no rows in it" in problems(write(tmp_path, "a.json", '{"data": []}'))[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"question": ["a?", "b?"], "answer": [1, 2]}, "not a list, but columns of 2 values each (in pandas, orient="),
        ({"train": [["a?", 1]], "test": [["b?", 2]] * 2}, "not a list, but the lists 'train', 'test' (keep the one"),
        ({"question": "a?", "answer": 1, "more": [{"x": 1}]}, "holds a struct with fields question, answer, more"),
        ({"data": ["a?", "b?"]}, "holds a struct with fields data"),
    ],
)
def test_objects_that_are_no_list_of_rows(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    [problem] = problems(write(tmp_path, "a.json", json.dumps(content)))
    assert said in problem and "write a list of" in problem


def test_a_csv_field_may_be_long(tmp_path: Path) -> None:
    answer = "x" * 1_000_000
    [row] = read_rows(write(tmp_path, "a.csv", f"question,answer\na?,{answer}\n"), Columns())
    assert row.answer == answer


def test_broken_csv(tmp_path: Path) -> None:
    assert "line 3: is not valid CSV" in problems(write(tmp_path, "a.csv", 'question,answer\na,1\n"b,2\nc,3\n'))[0]
    assert "two columns are called 'answer'" in problems(write(tmp_path, "a.csv", "question,answer,answer\na,1,2"))[0]
    found = problems(write(tmp_path, "a.csv", "question,answer\na, b?,1\nc?\nd?,2"))
    assert "line 2: has 3 fields, the header has 2" in found[0] and "line 3: has 1 fields" in found[1]


# --- columns


def test_missing_columns_are_named_once_with_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", [{"Question": "a?", "gold": 1}] * 50)
    [said] = problems(path)
    assert "no column 'question' and no column 'answer'; its columns are 'Question', 'gold', its first row is" in said
    assert said.endswith("write columns: {question: Question, answer: gold}")


def test_named_columns_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "question,answer,uid\na,1,u")
    found = problems(path, Columns(id="uids", demonstration="worked"))
    assert len(found) == 1 and found[0].endswith("write columns: {demonstration: COLUMN, id: uid}")


def test_columns_of_a_file_with_other_separators(tmp_path: Path) -> None:
    for separator in ";\t|":
        text = "question;answer\na, b?;1,5\n'c;d?';x\n".replace("'", '"').replace(";", separator)
        rows = [Row("a, b?", "1,5", None, None, 2), Row(f"c{separator}d?", "x", None, None, 3)]
        assert read_rows(write(tmp_path, "a.csv", text), Columns()) == rows
    assert "its columns are 'f', 'g'" in problems(write(tmp_path, "a.csv", "f;g\na;1"))[0]
    found = problems(write(tmp_path, "a.csv", "question;answer\na;b?;1"))
    assert "has 3 fields, the header has 2: put text that contains semicolons in double quotes" in found[0]


def test_the_header_decides_what_separates_a_csv_file(tmp_path: Path) -> None:
    text = "question,answer,a;b;c;d\na;b;c;d?,1,x\n"
    assert read_rows(write(tmp_path, "a.csv", text), Columns()) == [Row("a;b;c;d?", "1", None, None, 2)]
    text = "question;answer;weight, kg, net\na,b,c?;1;x\n"
    assert read_rows(write(tmp_path, "a.csv", text), Columns()) == [Row("a,b,c?", "1", None, None, 2)]


def test_columns_of_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"question": ["a?"], "answers": [1]}), tmp_path / "a.parquet")
    [problem] = problems(tmp_path / "a.parquet")
    assert problem.endswith("its columns are 'question', 'answers': write columns: {answer: answers}")


def test_column_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        Columns(question="")
    with pytest.raises(ValidationError):
        Columns(anser="x")  # type: ignore[call-arg]


# --- rows


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (5, "is a number (5): write a pair"),
        (None, "is null"),
        ("a?", "is text ('a?')"),
        (True, "is true or false (True)"),
        ([], "is a list of 0: write a pair"),
        (["a?", 1, 2], "is a list of 3"),
        ({}, "has no 'question', only nothing"),
        ({"question": "a?", "anwser": 1}, "has no 'answer', only 'question', 'anwser'"),
        (["", 1], "the question is empty"),
        ([None, 1], "the question is empty"),
        ([" \n", 1], "the question is blank"),
        ([5, 1], "the question is a number (5): write it as text"),
        ([["a?"], 1], "the question is a list of 1 text (['a?']): write it as text"),
        (["a?", None], "the answer is empty"),
        (["a?", "  "], "the answer is empty"),
        (["a?", True], "the answer is true or false (True)"),
        (["a?", [1, 2]], "the answer is a list of 2 numbers ([1, 2]): write a number or text"),
        (["a?", float("nan")], "the answer is nan: write a finite number"),
        (["a?", float("inf")], "the answer is inf"),
        (["a\ud800?", 1], "the question holds half a character"),
        ({"question": "a?", "answer": 1, "demonstration": 5}, "the demonstration is a number (5)"),
        ({"question": "a?", "answer": 1, "id": [1]}, "the id is a list of 1 number ([1])"),
        ({"question": "a?", "answer": 1, "id": 1.5}, "the id is a number (1.5)"),
    ],
)
def test_rows_of_the_wrong_shape(tmp_path: Path, row: Any, problem: str) -> None:
    good = {"question": "fine?", "answer": 1}
    [found] = problems(write(tmp_path, "a.json", [good, row]))
    assert found.startswith(f"{tmp_path / 'a.json'}, row 2: {problem}")
    assert found.count(": ") >= 2, "says what is wrong and how to fix it"


def test_a_named_id_must_not_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "question,answer,uid\na,1,\nb,2,x")
    assert "line 2: the id is empty" in problems(path, Columns(id="uid"))[0]


def test_ids_are_given_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "question,answer,id\na,1,x\nb,2,y\nc,3, x\n")
    [problem] = problems(path)
    assert "line 4: the id 'x' is also that of line 2" in problem


def test_ten_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "a.json", [["", 1]] * 47))
    assert len(found) == 11 and found[-1] == "... and 37 more"
    assert len(problems(write(tmp_path, "a.json", [["", 1]] * 10))) == 10


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    assert len(problems(write(tmp_path, "a.json", [["a?", ["x" * 10_000] * 2]]))[0]) < 300


# --- slices


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        ("8:", [8, 9]),
        (":2", [0, 1]),
        ("-2:", [8, 9]),
        (":-8", [0, 1]),
        ("3:5", [3, 4]),
        (" 3 : 5 ", [3, 4]),
        (":", list(range(10))),
        (":800", list(range(10))),
    ],
)
def test_slices(spec: str, taken: list[int]) -> None:
    rows = [Row(f"q{n}", "1", None, None, n) for n in range(10)]
    assert [row.line for row in select_rows(rows, spec)] == taken


@pytest.mark.parametrize("spec", ["", "5", "::2", "1:2:3", "a:", "1.5:", "800-", "--2:", "9" * 5000 + ":"])
def test_other_specs_are_refused(spec: str) -> None:
    with pytest.raises(DataError, match="is not a range: write it like"):
        select_rows(TWO_ROWS, spec)


@pytest.mark.parametrize("spec", ["2:", ":0", "1:1", "5:2", ":-2"])
def test_a_slice_that_takes_nothing_is_refused(spec: str) -> None:
    with pytest.raises(DataError, match="selects none of the 2 rows"):
        select_rows(TWO_ROWS, spec)


# --- repetitions


def test_repetitions_are_collapsed_to_the_first() -> None:
    rows = [Row("a?", "1", None, None, 1), Row("b?", "x", None, None, 2), Row(" a?", "1", "so", "i", 3)]
    rows.append(Row("b?", "x ", None, None, 4))
    assert distinct_questions(rows, origin_of(Path("a.json"))) == (rows[:2], 2)
    assert distinct_questions([], origin_of(Path("a.json"))) == ([], 0)


def test_a_question_with_two_answers_names_both_rows() -> None:
    rows = [Row("a?", "1", None, None, 2), Row("b?", "1", None, None, 3), Row("a?", "2", None, None, 9)]
    with pytest.raises(DataError) as caught:
        distinct_questions(rows, origin_of(Path("a.csv")))
    [problem] = caught.value.problems
    assert problem.startswith("a.csv, line 9: repeats the question of line 2 with another answer ('2', not '1'): ")
    with pytest.raises(DataError, match=r"a\.json, row 9: repeats the question of row 2"):
        distinct_questions(rows, origin_of(Path("a.json")))
    with pytest.raises(DataError, match=r"\.\.\. and 4 more"):
        more = [Row("a?", str(n), None, None, n) for n in range(20, 33)]
        distinct_questions([*rows, *more], origin_of(Path("a.csv")))
