"""The data a task judges by besides the gold answer: where it comes from, what is refused, whose key includes it."""

import csv
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.answers.judges.math import MathJudge
from orchestrator.commands.judge import CompletionColumns, judge_file
from orchestrator.errors import DataError
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Completion, Example, JsonObject, Verdict

DATA = {"parts": [1, 2.5, None, True, {"b": "x", "a": []}]}


class Share(Task):
    """Half the points for any of the words in the data, all of them for the gold answer."""

    def judge_completion(self, completion: Completion, example: Example) -> Verdict:
        if completion.text == example.answer:
            return Verdict("correct", completion.text)
        return Verdict("wrong", completion.text, score=0.5 if completion.text in example.data["near"] else None)


def write(name: str, rows: list[Any]) -> str:
    path = Path(name)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["question", "answer", "extra"], *(_texts(row) for row in rows)])
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def _texts(row: dict[str, Any]) -> list[str]:
    return [row["question"], row["answer"], json.dumps(row["extra"])]


def rows(n: int = 3, **more: Any) -> list[dict[str, Any]]:
    return [{"question": f"q{i}?", "answer": f"a{i}", "extra": {"near": [f"b{i}"], "i": i}} | more for i in range(n)]


def task(cls: type[Task] = TASKS["file"], **test: Any) -> Task:
    return cls.model_validate({"type": "file", "test": test, "judge": {"type": "exact"}})


def test_data_are_json_and_cannot_be_changed() -> None:
    example = Example("e", "q?", "a", data=DATA)
    example.data["parts"].append(1)
    example.data.plain()["parts"] = []
    assert example.data == DATA == example.data.plain() and len(example.data) == 1
    assert json.loads(str(example.data)) == DATA
    assert pickle.loads(pickle.dumps(example)) == example == replace(example, data=DATA)
    assert hash(example) == hash(replace(example)) and example != replace(example, data={})
    assert JsonObject({"b": 1, "a": 2}) == JsonObject({"a": 2, "b": 1}) and not JsonObject({})
    assert not Example("e", "q?", "a").data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": {1, 2}}, r"a is \{1, 2\}, a set, which JSON does not have"),
        ({"a": [0, float("nan")]}, r"a\.1 is nan, a float"),
        ({"a": {1: 2}}, "a key in a is 1, a int: JSON keys must be text"),
        ([1], r"a JSON object is a mapping, not \[1\] \(list\)"),
    ],
)
def test_data_that_are_no_json_are_refused(data: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Example("e", "q?", "a", data=data)


def test_a_score_follows_the_status_where_nothing_else_is_said() -> None:
    assert [Verdict(s).score for s in ("correct", "wrong", "unparsed", "error")] == [1.0, 0.0, 0.0, 0.0]  # type: ignore[arg-type]
    assert Verdict("wrong", "x", score=0.25).score == 0.25 and Verdict("correct", score=1).score == 1.0
    assert Verdict("wrong", score=0.1) != Verdict("wrong")
    for score in (-0.1, 1.1, float("nan"), True, "1"):
        with pytest.raises(ValueError, match="a score is a number from 0 to 1, not"):
            Verdict("wrong", score=score)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_a_column_of_objects(name: str) -> None:
    made = task(file=write(name, rows()), columns={"data": "extra"})
    assert [e.data for e in made.examples("test")] == [row["extra"] for row in rows()]
    inner = task(file=write("n.jsonl", rows()), columns={"data": "extra.near.0"})
    with pytest.raises(
        DataError, match=r"n\.jsonl, line 1: the data \(column 'extra\.near\.0'\) is text that is not JSON"
    ):
        inner.examples("test")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (["b"], "is a list .*: write an object"),
        ("b", r"is text that is not JSON \('b'\): write an object"),
        ("[1]", "is JSON text of a list .*: write an object"),
        (None, "is .*: write an object, {} if there is no data"),
        (5, r"is a number \(5\): write an object"),
        ('{"a": NaN}', "is not JSON: a is nan, a float, which JSON does not have"),
    ],
)
def test_a_cell_that_is_no_object_is_refused_with_its_line(cell: Any, said: str) -> None:
    made = task(file=write("t.jsonl", [*rows(1), rows(2)[1] | {"extra": cell}]), columns={"data": "extra"})
    with pytest.raises(DataError, match=rf"^t\.jsonl, line 2: the data \(column 'extra'\) {said}"):
        made.examples("test")


def test_columns_that_are_not_there() -> None:
    with pytest.raises(DataError, match="has no column 'meta'; its columns are"):
        task(file=write("t.jsonl", rows()), columns={"data": "meta"}).examples("test")
    Path("p.json").write_text('[["q?", "a"]]')
    with pytest.raises(DataError, match="is a pair, so it has no 'meta'"):
        task(file="p.json", columns={"data": "meta"}).examples("test")


def test_one_question_with_two_data_is_refused() -> None:
    twice = [rows(1)[0], rows(1)[0] | {"extra": {}}]
    with pytest.raises(DataError, match="line 2: repeats the question of line 1 with other data"):
        task(file=write("t.jsonl", twice), columns={"data": "extra"}).examples("test")


def test_data_are_part_of_the_fingerprint_only_where_there_are_any() -> None:
    def fingerprint(cells: list[Any], **columns: str) -> Any:
        made = [row | {"extra": cell} for row, cell in zip(rows(2), cells, strict=True)]
        return task(file=write("t.jsonl", made), columns=columns).fingerprint("test")

    without = fingerprint([{"a": 1}, {}])
    assert without == fingerprint([{}, {}], data="extra")
    some = fingerprint([{"a": 1, "b": 2}, {}], data="extra")
    assert without != some == fingerprint([{"b": 2, "a": 1}, {}], data="extra")
    assert some != fingerprint([{"a": 1, "b": 3}, {}], data="extra")


def test_a_task_judges_by_them() -> None:
    made = task(Share, file=write("t.jsonl", rows()), columns={"data": "extra"})
    assert made.own_verdict and made.own_scores and made.guarded
    first = made.examples("test")[0]
    judged = verdicts(made, [item(text, first) for text in ("a0", "b0", "b1")])
    assert [(v.status, v.score) for v in judged] == [("correct", 1.0), ("wrong", 0.5), ("wrong", 0.0)]
    assert made.example_of(first.id, first.question, first.answer) is first
    assert made.example_of("x", "q?", "a") == Example("x", "q?", "a")
    [failed] = verdicts(made, [item("x", Example("e", "q?", "a"))])
    assert failed.status == "error" and "KeyError: 'near'" in str(failed.why)


def test_a_file_of_completions_has_its_data_in_a_column() -> None:
    made = task(Share, file=write("t.jsonl", rows()), columns={"data": "extra"})
    said = [row | {"text": text} for row, text in zip(rows(), ("a0", "b1", "c"), strict=True)]
    named = judge_file(Path(write("c.jsonl", said)), made, CompletionColumns(data="extra"))
    assert [v.score for v in named.verdicts] == [1.0, 0.5, 0.0]
    assert named.metrics()["mean_score"] == 0.5 and named.metrics()["accuracy"] == 1 / 3
    named.write(Path("out.parquet"))
    assert pq.read_table("out.parquet")["score"].to_pylist() == [1.0, 0.5, 0.0]
    usual = [{k: v for k, v in row.items() if k != "extra"} | {"data": json.dumps(row["extra"])} for row in said]
    assert judge_file(Path(write("d.jsonl", usual)), made).verdicts == named.verdicts
    odd = Path(write("e.jsonl", [said[0], said[1] | {"extra": 5}]))
    [why] = judge_file(odd, made, CompletionColumns(data="extra")).problems
    assert why.startswith("e.jsonl, line 2: the data (column 'extra') is a number (5): write an object")


def test_others_have_no_mean_score() -> None:
    found = judge_file(
        Path(write("c.jsonl", [row | {"text": "<answer>a0</answer>"} for row in rows()])), task(file="t")
    )
    assert "mean_score" not in found.metrics() and found.metrics()["accuracy"] == 1 / 3


# --- libraries used for judging


def library(name: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake an installed library."""
    folder = Path("installed") / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(Path("installed").absolute())


@pytest.mark.parametrize("name", ["math-verify", "latex2sympy2_extended", "sympy"])
def test_another_version_of_what_judges_mathematics_makes_another_key(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, exact = MathJudge().fingerprint(), task(file="t").judging()
    library(name, "999", monkeypatch)
    after = MathJudge().fingerprint()
    assert before != after and after["libraries"][name] == "999"
    assert task(file="t").judging() == exact


def test_a_task_may_name_the_library_that_it_stands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gym(Share):
        LIBRARY: ClassVar[str | None] = "a-gym-of-questions"

    made = Gym.model_validate({"type": "gym", "test": {"generate": 3}, "judge": {"type": "exact"}})
    with pytest.raises(DataError, match="judging needs the library a-gym-of-questions, which is not installed"):
        made.judging()
    library("a-gym-of-questions", "1.2", monkeypatch)
    judging, questions = made.judging(), made.fingerprint("test")
    assert judging["library"] == questions["library"] == ["a-gym-of-questions", "1.2"]
