"""The task `gsm8k`: gold answers and worked solutions from the published form. No network."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.answers.numbers import parse_number
from orchestrator.errors import DataError
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.gsm8k import PROMPT, Gsm8kTask
from orchestrator.types import Example
from tests.conftest import REPOSITORY

REAL = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"
SOLUTION = "She sold 48/2 = <<48/2=24>>24 in May.\nThat is 48+24 = <<48+24=72>>72 in all.\n#### 72"


def task(*answers: Any, **settings: Any) -> Task:
    """A task whose train split has these answers, and one test question."""
    rows = [{"question": f"question {n}?", "answer": answer} for n, answer in enumerate(answers)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("test.jsonl").write_text(json.dumps({"question": "asked last?", "answer": "1+1 = <<1+1=2>>2\n#### 2"}) + "\n")
    files = {"train": {"file": "train.jsonl"}, "test": {"file": "test.jsonl"}}
    return TASKS["gsm8k"].model_validate({"type": "gsm8k"} | files | settings)


def demonstration(made: Task) -> str | None:
    return made.examples("train")[0].demonstration


def problems(made: Task) -> list[str]:
    with pytest.raises(DataError) as caught:
        made.check()
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


# --- rows


def test_a_row_becomes_a_number_and_a_worked_solution() -> None:
    made = task(SOLUTION)
    made.check()
    worked = "She sold 48/2 = 24 in May.\nThat is 48+24 = 72 in all.\n#### 72"
    assert made.examples("train") == [Example("train-1", "question 0?", "72", worked)]


def test_annotations_are_kept_where_that_is_asked_for() -> None:
    assert demonstration(task(SOLUTION, annotations="keep")) == SOLUTION


@pytest.mark.parametrize(
    ("kind", "end"),
    [("boxed", "in all. \\boxed{72}"), ("marker", "in all.\nFINAL ANSWER: 72"), ("tags", "<answer>72</answer>")],
)
def test_the_answer_is_written_in_the_format_that_is_chosen(kind: str, end: str) -> None:
    made = task(SOLUTION, format={"type": kind})
    worked = demonstration(made)
    assert worked and worked.startswith("She sold 48/2 = 24 in May.\n") and worked.endswith(end)
    assert "####" not in worked and made.verdict(worked, "72", "stop").status == "correct"


@pytest.mark.parametrize("gold", ["72", "1,234", "5,600,000", "-9", "$18", "0.5", "1/4", "-$5"])
def test_numbers_stay_as_they_are_written(gold: str) -> None:
    made = task(f"So it is.\n####  {gold} ")
    made.check()
    [example] = made.examples("train")
    assert example.answer == gold and example.demonstration == f"So it is.\n#### {gold}"
    assert made.verdict(f"#### {parse_number(gold)}", gold, "stop").status == "correct"
    assert made.verdict(example.demonstration, gold, "stop").status == "correct"


def test_the_last_mark_counts() -> None:
    assert task("No: #### 3\nYes.\n#### 4").examples("train")[0].answer == "4"


def test_a_bare_answer_is_a_question_without_a_solution() -> None:
    made = task("#### 4", demonstrations={"file": "train.jsonl"})
    assert demonstration(made) is None
    assert problems(made)[0].startswith("task.demonstrations: train.jsonl has no worked solutions")


def test_a_worked_solution_of_its_own_is_left_alone() -> None:
    row = {"question": "q?", "answer": SOLUTION, "demonstration": "Simply 72.\n#### 72"}
    Path("own.jsonl").write_text(json.dumps(row))
    [example] = task(SOLUTION, train={"file": "own.jsonl"}).examples("train")
    assert (example.answer, example.demonstration) == ("72", "Simply 72.\n#### 72")


def test_another_solution_of_the_same_question_is_a_repetition_if_its_answer_is_the_same() -> None:
    rows = [{"question": "q?", "answer": answer} for answer in (SOLUTION, "At once.\n#### 72")]
    Path("twice.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert len(task(SOLUTION, train={"file": "twice.jsonl"}).examples("train")) == 1
    Path("twice.jsonl").write_text(
        "\n".join(json.dumps(row) for row in [*rows, {"question": "q?", "answer": "#### 7"}])
    )
    [problem] = problems(task(SOLUTION, train={"file": "twice.jsonl"}))
    assert problem.startswith("twice.jsonl, line 3: repeats the question of line 1 with another answer ('7', not '72')")


def test_what_holds_no_answer_is_listed_row_by_row() -> None:
    made = task("no mark at all", SOLUTION, "so\n#### seventy", "so\n####", 72, "5 or so\n#### 5 or 6")
    assert problems(made) == [
        "train.jsonl, line 1: the solution has no '####' with its answer at the end: add it, or set task.type: file "
        "('no mark at all')",
        "train.jsonl, line 3: after the last '####' is 'seventy': write one number there, like 72 or 1,450",
        "train.jsonl, line 4: after the last '####' is '': write one number there, like 72 or 1,450",
        "train.jsonl, line 5: the solution has no '####' with its answer at the end: add it, or set task.type: file "
        "('72')",
        "train.jsonl, line 6: after the last '####' is '5 or 6': write one number there, like 72 or 1,450",
    ]


def test_of_many_bad_rows_the_first_ten_are_listed() -> None:
    found = problems(task(*[f"row {n}" for n in range(13)]))
    assert len(found) == 11 and found[-1] == "... and 3 more"


def test_a_solution_that_cannot_be_read_back_is_listed() -> None:
    made = task("We stop here.\n#### 4", format={"stop": ["stop"]})
    [problem] = problems(made)
    assert problem.startswith("train.jsonl, line 1: ") and "stop" in problem


# --- settings


def test_a_source_is_the_published_data_unless_it_says_otherwise() -> None:
    made = Gsm8kTask.model_validate({"demonstrations": {"rows": ":1000"}, "train": {"rows": "1000:"}})
    for split in ("demonstrations", "train", "test"):
        source = getattr(made, split)
        assert (source.hub, source.config, source.file) == ("openai/gsm8k", "main", None)
    assert made.demonstrations is not None and made.demonstrations.rows == ":1000"
    assert Gsm8kTask().demonstrations is None
    assert task(SOLUTION, train={"hold_out": 5}).train.hub is None  # type: ignore[union-attr]


def test_a_setting_of_the_format_or_the_judge_keeps_the_others() -> None:
    made = task(SOLUTION, format={"chat": True}, judge={"decimals": 1})
    assert (made.format.type, made.format.prompt, made.format.chat) == ("hash", PROMPT, True)
    assert made.verdict("#### 72.01", "72", "stop").status == "correct"
    assert made.verdict("#### 72.1", "72", "stop").status == "wrong"
    assert task(SOLUTION, format={"type": "boxed", "prompt": "{question}"}).format.prompt == "{question}"
    assert task(SOLUTION, judge={"type": "exact"}).judge.type == "exact"


def test_only_the_same_number_is_right() -> None:
    made = task(SOLUTION)
    status = {
        text: made.verdict(text, "72", "stop").status for text in ("#### 72", "#### 72.00 clips", "#### 73", "72")
    }
    assert status == {"#### 72": "correct", "#### 72.00 clips": "correct", "#### 73": "wrong", "72": "unparsed"}


def test_what_a_model_is_shown_decides_the_key() -> None:
    kept, stripped = task(SOLUTION, annotations="keep"), task(SOLUTION)
    assert kept.fingerprint("train") != stripped.fingerprint("train")
    assert task(SOLUTION).fingerprint("train") == stripped.fingerprint("train")


# --- data


def test_the_sample_that_ships_is_sound_and_short() -> None:
    file = REPOSITORY / "recipes" / "data" / "gsm8k_sample.jsonl"
    made = task(SOLUTION, train={"file": str(file)})
    made.check()
    examples = made.examples("train")
    assert len(examples) == 60
    for example in examples:
        assert example.demonstration is not None and "<<" not in example.demonstration
        assert made.verdict(example.demonstration, example.answer, "stop").status == "correct"
        assert len(example.question) + len(example.demonstration) < 480, "the tiny model's context is 512"


@pytest.mark.skipif(not REAL.is_dir(), reason="GSM8K is not beside the repository")
@pytest.mark.parametrize("kind", ["hash", "boxed"])
def test_every_published_solution_is_read_back_as_its_own_answer(kind: str) -> None:
    files = {split: {"file": str(REAL / f"{split}.jsonl")} for split in ("train", "test")}
    made = task(SOLUTION, format={"type": kind}, **files)
    made.check()
    assert [len(made.examples(split)) for split in ("train", "test")] == [7473, 1319]
    for example in [*made.examples("train"), *made.examples("test")]:
        assert example.demonstration is not None and "<<" not in example.demonstration
        assert made.format.extract(example.demonstration) == example.answer
        assert made.verdict(example.demonstration, example.answer, "stop").status == "correct"


@pytest.mark.skipif(not REAL.is_dir(), reason="GSM8K is not beside the repository")
def test_every_published_answer_is_read_however_it_is_written() -> None:
    """Comparing the text after the last mark, without commas, would fail here; `#### 12.5` is not 12."""
    judge = task(SOLUTION).judge
    golds = 0
    for split in ("train", "test"):
        for line in (REAL / f"{split}.jsonl").read_text().splitlines():
            gold = json.loads(line)["answer"].rpartition("####")[2].strip()
            golds += 1
            plain = gold.replace(",", "")
            assert str(parse_number(gold)) == plain
            variants = [
                f"${gold}",
                f"**{gold}**",
                f"{gold}.",
                f"{gold} dollars",
                f"x = {gold}",
                f"{gold}.00",
                f"答案是{gold}元",
            ]
            variants += [
                rf"\\${gold}",
                f"{gold} (because 6*12)",
                f"The answer is {gold}",
                f"{gold}</s>",
                f"6 + 7 = {gold}",
            ]
            for said in variants:
                assert judge.judge(said, gold, "stop").status == "correct", said
            if golds % 10:
                continue
            for said in (
                f"{plain}1",
                f"{plain}.5",
                f"-{plain}9",
                f"{gold} or six",
                f"{gold} dozen",
                f"{gold},5",
                f"2x = {gold}",
            ):
                assert judge.judge(said, gold, "stop").status != "correct", said
    assert golds == 8792
