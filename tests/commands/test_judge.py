"""Judging completions from any source: which files and columns are read, the effect of odd rows, what is written."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator import cli
from orchestrator.commands.judge import CompletionColumns, JudgedFile, judge_file
from orchestrator.errors import DataError
from orchestrator.recipe.recipe import load_recipe, load_task
from orchestrator.stats import wilson
from orchestrator.tasks import Task
from tests.cli.test_cli import orch
from tests.conftest import REPOSITORY

GOOD = {"text": "so <answer>5</answer>", "answer": 5}
Row = dict[str, Any]


def judged(rows: list[Any], *settings: str, name: str = "made.jsonl", **columns: str) -> JudgedFile:
    """The verdicts on rows that are written to a file."""
    path = Path(name)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        path.write_text("".join(",".join(json.dumps(str(field)) for field in line) + "\n" for line in lines))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return judge_file(path, load_task(settings), CompletionColumns(**columns))


def statuses(found: JudgedFile) -> list[str]:
    return [verdict.status for verdict in found.verdicts]


def problems(rows: list[Any], **columns: str) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        judged(rows, **columns)
    return caught.value.problems


# --- files and columns


@pytest.mark.parametrize("name", ["made.jsonl", "made.json", "made.csv", "made.parquet"])
def test_every_kind_of_file_gives_the_same_verdicts(name: str) -> None:
    rows = [GOOD, {"text": "<answer>6</answer>", "answer": 5}, {"text": "five", "answer": 5}]
    found = judged(rows, name=name)
    assert statuses(found) == ["correct", "wrong", "unparsed"]
    assert [v.value for v in found.verdicts] == ["5", "6", None]


def test_columns_by_name() -> None:
    rows = [{"completion": "<answer>5</answer>", "gold": "5", "prompt": "2 + 3?", "text": 0, "answer": 0}]
    found = judged(rows, text="completion", answer="gold", question="prompt")
    assert statuses(found) == ["correct"] and found.rows[0]["question"] == "2 + 3?"
    assert statuses(judged(rows, name="made.parquet", text="completion", answer="gold")) == ["correct"]


def test_missing_columns_are_all_named_with_the_closest_and_the_option() -> None:
    assert problems([{"txt": "x", "gold": 5}]) == (
        "made.jsonl: has no column 'text'; its columns are 'txt', 'gold': did you mean 'txt'? name it with --text",
        "made.jsonl: has no column 'answer'; its columns are 'txt', 'gold': did you mean 'gold'? name it with --answer",
    )
    assert "'Completion'" in problems([{"Completion": "x", "answer": 5}], text="completion")[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nowhere.jsonl", None, "there is no such file"),
        ("empty.jsonl", "", "is empty"),
        ("none.json", "[]", "has no rows"),
        ("header.csv", "text,answer\n", "has no rows"),
        ("made.txt", "x", "the extension '.txt' is not supported"),
        ("broken.jsonl", '{"text": "a", "answer": 1}\n{"text": \n', "line 2"),
        ("broken.parquet", "no parquet", "is not a readable parquet file"),
    ],
)
def test_files_that_cannot_be_used(name: str, content: str | None, said: str) -> None:
    if content is not None:
        Path(name).write_text(content)
    with pytest.raises(DataError, match=name) as caught:
        judge_file(Path(name), load_task([]))
    assert said in str(caught.value)


@pytest.mark.parametrize("stray", [["a", 1], "a", 5, None])
def test_rows_that_are_no_objects_are_named_by_their_line(stray: Any) -> None:
    (problem,) = problems([GOOD, stray, GOOD])
    assert problem.startswith("made.jsonl, line 2: is ") and "write an object" in problem
    assert len(problems([["a", 1]] * 30)) == 10


# --- an odd row affects only its own verdict


def test_a_text_that_is_missing_is_no_answer() -> None:
    assert statuses(judged([{"text": None, "answer": 5}, {"answer": 5}, GOOD])) == ["unparsed", "unparsed", "correct"]


def test_a_row_without_the_column_of_the_text_is_told() -> None:
    found = judged([GOOD, {"completion": GOOD["text"], "answer": 5}, GOOD | {"text": None}])
    assert statuses(found) == ["correct", "unparsed", "unparsed"]
    assert found.problems == ("made.jsonl, line 2: has no 'text', only 'completion', 'answer': add it",)


@pytest.mark.parametrize("answer", [None, "", "  ", "many", float("nan"), [], {}])
def test_a_gold_answer_that_cannot_be_judged_is_an_error_of_its_row(answer: Any) -> None:
    assert statuses(judged([{"text": GOOD["text"], "answer": answer}, GOOD])) == ["error", "correct"]


def test_a_gold_answer_that_is_not_there_is_an_error_of_its_row() -> None:
    assert statuses(judged([GOOD, {"text": GOOD["text"]}])) == ["correct", "error"]


def test_rows_that_cannot_be_judged_are_told_with_their_line() -> None:
    rows = [GOOD, GOOD | {"answer": "four"}, {"text": "", "answer": None}, GOOD | {"answer": 0.0004}, GOOD]
    found = judged(rows, "judge.decimals=3")
    assert statuses(found) == ["correct", "error", "unparsed", "error", "correct"]
    not_a_number, missing, rounded = found.problems
    assert not_a_number.startswith("made.jsonl, line 2: gold answer 'four': it is not a number: write it like 42")
    assert missing == "made.jsonl, line 3: there is no gold answer: write one or leave the row out"
    assert rounded.startswith("made.jsonl, line 4: gold answer '0.0004': it is 0 when rounded to 3 decimals")
    assert judged([GOOD]).problems == ()


def test_a_gold_answer_that_the_judge_fails_on_is_told() -> None:
    found = judged([GOOD, GOOD | {"answer": "}{"}], "judge.type=math")
    assert statuses(found) == ["correct", "error"]
    assert found.problems[0].startswith("made.jsonl, line 2: judge math cannot read the gold answer '}{', or ")


def test_a_file_without_any_gold_answer_that_can_be_judged_is_refused() -> None:
    found = problems([GOOD | {"answer": f"number {n}"} for n in range(1_200)])
    assert len(found) == 4 and all("\n" not in problem for problem in found)
    assert found[0].startswith("made.jsonl: no gold answer can be judged (of 1,200): fix them, or name another column")
    assert found[1].startswith("made.jsonl, line 1: gold answer 'number 0': it is not a number")
    assert "there is no gold answer" in problems([GOOD | {"answer": None}])[1]


# --- gold answers, read as in the task's own files


SOLUTION = "She had 3 + 4 = <<3+4=7>>7.\n#### 7"


def gsm8k(*settings: str) -> Task:
    return load_recipe(REPOSITORY / "recipes" / "gsm8k.yaml", settings).task


@pytest.mark.parametrize("settings", [(), ("task.judge={type: exact}",), ("task.judge={type: math}",)])
def test_worked_solutions_are_gold_answers_of_a_task_that_reads_them(settings: tuple[str, ...]) -> None:
    rows = [{"text": f"so\n#### {said}", "answer": gold} for said in (7, 8) for gold in (SOLUTION, "7", 7, "#### 7")]
    Path("made.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = judge_file(Path("made.jsonl"), gsm8k(*settings))
    assert statuses(found) == ["correct"] * 4 + ["wrong"] * 4 and found.problems == ()
    assert {row["answer"] for row in found.rows} == {"7"}


def test_a_worked_solution_without_an_answer_costs_its_own_row() -> None:
    rows = [{"text": "#### 7", "answer": gold} for gold in (SOLUTION, "no mark", None)]
    Path("made.csv").write_text("text,answer\n#### 7,#### 7\n#### 7,no mark\n#### 7,\n")
    Path("made.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("made.csv", "made.jsonl"):
        found = judge_file(Path(name), gsm8k())
        assert statuses(found) == ["correct", "error", "error"]
        assert (
            "the solution has no '####' with its answer at the end: add it, or set task.type: file ('no mark')"
            in found.problems[0]
        )
    with pytest.raises(DataError, match="no gold answer can be judged"):
        judge_file(Path("made.jsonl"), load_task([]))


def test_a_long_completion_in_a_csv_file_is_judged() -> None:
    text = "x" * 1_000_000 + "<answer>5</answer>"
    Path("made.csv").write_text(f"text,answer\n{text},5\n<answer>6</answer>,5\n")
    assert statuses(judge_file(Path("made.csv"), load_task([]))) == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (5, "5"),
        (0, "0"),
        (2.5, "2.5"),
        (12345678901234567890, "12345678901234567890"),
        ("Bonn", "Bonn"),
    ],
)
def test_gold_answers_as_text(answer: Any, text: str) -> None:
    row = {"text": f"<answer>{text}</answer>", "answer": answer}
    assert statuses(judged([row, {"text": "<answer>x</answer>", "answer": answer}], "judge.type=exact")) == [
        "correct",
        "wrong",
    ]


def test_a_text_that_is_a_number_is_read_as_text() -> None:
    assert statuses(judged([{"text": 5, "answer": 5}], "format.type=last_number")) == ["correct"]


def test_a_completion_that_was_cut_off() -> None:
    rows = [
        {"text": "so it", "answer": 5, "finish_reason": "length"},
        GOOD | {"finish_reason": "length"},
        {"text": "so it", "answer": 5, "finish_reason": "stop"},
        {"text": "so it", "answer": 5, "finish_reason": None},
    ]
    assert statuses(judged(rows)) == ["truncated", "correct", "unparsed", "unparsed"]
    assert statuses(judged(rows[:2], name="made.csv")) == ["truncated", "correct"]


def test_a_judge_in_a_process_of_its_own() -> None:
    rows = [GOOD | {"text": "<answer>9**9**9**9</answer>"}, GOOD, GOOD | {"text": r"<answer>\frac{10}{2}</answer>"}]
    found = judged(rows, "judge.type=math", "judge_limits.timeout_s=1.5")
    assert statuses(found)[1:] == ["correct", "correct"] and statuses(found)[0] != "correct"


# --- results


def test_metrics_have_the_names_of_a_run() -> None:
    rows = [GOOD] * 6 + [GOOD | {"answer": 8}] * 2 + [{"text": "", "answer": 5}, {"text": "", "answer": None}]
    metrics = judged(rows).metrics()
    low, high = wilson(6, 10)
    assert metrics == {
        "accuracy": 0.6,
        "accuracy_low": low,
        "accuracy_high": high,
        "answer_rate": 0.8,
        "n": 10,
        "status/correct": 6,
        "status/unparsed": 2,
        "status/wrong": 2,
    }


def test_verdicts_are_written_row_by_row(tmp_path: Path) -> None:
    rows = [GOOD | {"question": f"q{n}", "answer": n} for n in range(4, 7)] + [{"text": None, "answer": None}]
    out = tmp_path / "a folder" / "that is new" / "verdicts.parquet"
    judged(rows).write(out)
    table = pq.read_table(out)
    texts = [{"row": n, "question": f"q{n + 3}", "gold": str(n + 3), "text": GOOD["text"]} for n in (1, 2, 3)]
    assert table.to_pylist() == [
        texts[0] | {"status": "wrong", "value": "5", "score": 0.0},
        texts[1] | {"status": "correct", "value": "5", "score": 1.0},
        texts[2] | {"status": "wrong", "value": "5", "score": 0.0},
        {"row": 4, "question": None, "gold": "", "text": "", "status": "unparsed", "value": None, "score": 0.0},
    ]
    assert [p.name for p in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("answer", [42, 0, -3, 0.25, 1 / 3, 4.660281, 1234567, 1e20, 1.5e-12, "x"])
def test_gold_answers_are_written_so_that_they_are_judged_alike_again(answer: Any) -> None:
    judged([{"text": "", "answer": answer}, GOOD]).write(Path("out.parquet"))
    kept, _ = pq.read_table("out.parquet")["gold"].to_pylist()
    assert kept == answer if isinstance(answer, str) else float(kept) == answer, "no digit is lost"
    # the answer that a model is shown is judged correct
    shown = load_task(["judge.type=exact"]).format.target_text(kept)
    assert statuses(judged([{"text": shown, "answer": answer}], "judge.type=exact")) == ["correct"]


def test_columns_have_the_same_types_whatever_is_in_them() -> None:
    judged([{"text": "", "answer": 5}]).write(Path("bare.parquet"))
    judged([GOOD | {"question": "q"}]).write(Path("full.parquet"))
    assert pq.read_schema("bare.parquet") == pq.read_schema("full.parquet")


def test_half_characters_can_be_judged_and_written() -> None:
    half = "\ud83d"
    rows = [
        GOOD | {"text": f"{half}<answer>5</answer>", "question": f"q{half}"},
        {"text": f"<answer>{half}</answer>", "answer": half},
    ]
    found = judged(rows, "judge.type=exact")
    assert statuses(found) == ["correct", "correct"]
    found.write(Path("out.parquet"))
    written = pq.read_table("out.parquet").to_pylist()
    assert [r["question"] for r in written] == ["q\ufffd", None]
    assert written[1]["gold"] == written[1]["value"] == "\ufffd" and "\ufffd" in written[0]["text"]


def test_a_place_that_cannot_be_written_is_one_line() -> None:
    Path("folder").mkdir()
    Path("file").write_text("")
    for place, said in ((Path("folder"), "is a folder"), (Path("file") / "out.parquet", "cannot be written")):
        with pytest.raises(DataError, match=said) as caught:
            judged([GOOD]).write(place)
        assert len(caught.value.problems) == 1
    for name in ("x" * 256, "a\0b"):
        with pytest.raises(DataError, match="cannot be written"):
            judged([GOOD]).write(Path(name))
    judged([GOOD]).write(Path("x" * 247 + ".parquet"))
    assert list(Path().glob("**/*.tmp")) == []


# --- the command


def test_the_command_without_a_recipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "_quiet", lambda: None)
    judged([{"text": r"\boxed{5}", "answer": 5}, {"text": r"\boxed{6}", "answer": 5}])
    assert orch("judge", "made.jsonl", "format.type=boxed", "--json", "--out", "out.parquet") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["accuracy"] == 0.5 and "accuracy     0.500 [0.095, 0.905]" in err
    assert pq.read_table("out.parquet")["status"].to_pylist() == ["correct", "wrong"]
    assert orch("judge", "made.jsonl", "format.type=boxed") == 0
    out, err = capsys.readouterr()
    assert "correct      1" in out and err == ""


def test_the_command_says_which_rows_it_cannot_judge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_quiet", lambda: None)
    judged([GOOD, GOOD | {"answer": "[red]four"}, GOOD | {"answer": None}])
    assert orch("judge", "made.jsonl", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status/error"] == 2
    said = (
        "2 of 3 rows cannot be judged (counted as not correct); the first: made.jsonl, line 2: gold answer '[red]four'"
    )
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "orch: nowhere.jsonl: there is no such file"),
        (["made.jsonl", "--text", "txt"], "orch: made.jsonl: has no column 'txt'"),
        (["made.jsonl", "format.type=bxed"], "orch: override task.format.type: unknown type 'bxed'"),
        (["made.jsonl", "--recipe", "nowhere.yaml"], "orch: nowhere.yaml: no such recipe"),
        (["made.jsonl", "--out", "."], "orch: .: is a folder: name a file"),
        (["made.jsonl", "--out", "v.csv"], "orch: --out v.csv: verdicts are written as parquet; name the file"),
    ],
)
def test_the_command_with_bad_input(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_quiet", lambda: None)
    judged([GOOD])
    assert orch("judge", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1


def test_the_command_on_a_file_of_another_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_quiet", lambda: None)
    judged([GOOD, {"text": "#### 7", "answer": SOLUTION}])
    lines = Path("made.jsonl").read_text().splitlines()
    Path("made.jsonl").write_text(lines[1])
    assert orch("judge", "made.jsonl", "--json") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("orch: made.jsonl: no gold answer can be judged (of 1): fix them")
    assert "orch: made.jsonl, line 1: gold answer 'She had" in err
    assert orch("judge", "made.jsonl", "--recipe", str(REPOSITORY / "recipes" / "gsm8k.yaml"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0


def test_a_recipe_judges_as_its_task_does() -> None:
    Path("r.yaml").write_text(
        "name: t\ntask: {type: units, test: {generate: 1}, format: {type: hash}, judge: {tolerance: 0.5}}\n"
        "model: {name: tiny}\nstages: {sft: {type: sft, data: demonstrations}}\n"
    )
    Path("made.jsonl").write_text(json.dumps({"text": "#### 7", "answer": 5}))
    task = load_recipe("r.yaml").task
    assert statuses(judge_file(Path("made.jsonl"), task)) == ["correct"]
    assert statuses(judge_file(Path("made.jsonl"), load_task(["format.type=hash"]))) == ["wrong"]
