"""Worked solutions as people have them: the answer is appended if the answer format finds none."""

import csv
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DataError
from orchestrator.health.contract import contract
from orchestrator.health.data_faults import data_faults
from orchestrator.tasks.file import FileTask

QUESTIONS = [(f"What is {n} + {n}?", str(2 * n), f"{n} + {n} = {2 * n}, so it is {2 * n}.") for n in range(3, 33)]


def task(name: str = "solution", solutions: Any = None, **settings: Any) -> FileTask:
    """A task on a CSV file with worked solutions in a column with this name."""
    with Path("my.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", name])
        writer.writerows(solutions or QUESTIONS)
    test = {"file": "my.csv", "rows": ":5"}
    return FileTask.model_validate({"demonstrations": {"file": "my.csv"}, "test": test, **settings})


def worked(made: FileTask) -> list[str | None]:
    return [example.demonstration for example in made.examples("demonstrations")]


def test_a_file_of_questions_answers_and_solutions_works_as_it_is() -> None:
    made = task()
    assert worked(made)[0] == "3 + 3 = 6, so it is 6. <answer>6</answer>"
    assert made.appended("demonstrations") == len(QUESTIONS)
    assert [example.demonstration for example in made.examples("test")] == [None] * 5, "only in demonstrations"
    assert [finding for finding in contract(made) if finding.severity == "error"] == []
    [said] = [finding for finding in data_faults(made) if finding.check == "answer-appended"]
    assert "30 worked solutions do not end in an answer" in said.what and "<answer>6</answer>" in said.evidence


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("hash", "so it is 6.\n#### 6"),
        ("boxed", "so it is 6. \\boxed{6}"),
        ("marker", "so it is 6.\nFINAL ANSWER: 6"),
    ],
)
def test_it_is_appended_as_the_format_has_it(kind: str, end: str) -> None:
    made = task(format={"type": kind})
    text = worked(made)[0]
    assert text is not None and text.endswith(end) and made.format.extract(text) == "6"


def test_what_has_an_answer_is_left_as_it_is() -> None:
    made = task("demonstration", [(q, a, f"It is <answer>{a}</answer>") for q, a, _ in QUESTIONS])
    assert worked(made)[0] == "It is <answer>6</answer>" and made.appended("demonstrations") == 0
    assert not [finding for finding in data_faults(made) if finding.check == "answer-appended"]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("auto", "6! <answer>6</answer>"),
        ("always", "6! <answer>6</answer> <answer>6</answer>"),
        ("never", "6! <answer>6</answer>"),
    ],
)
def test_it_can_be_said_how(how: str, text: str) -> None:
    solutions = [(q, a, f"{a}! <answer>{a}</answer>") for q, a, _ in QUESTIONS]
    columns = {"demonstration": {"column": "steps", "append_answer": how}}
    made = task("steps", solutions, demonstrations={"file": "my.csv", "columns": columns})
    assert worked(made)[0] == text


def test_never_leaves_a_solution_without_an_answer_for_the_check_to_find() -> None:
    columns = {"demonstration": {"column": "solution", "append_answer": "never"}}
    made = task(demonstrations={"file": "my.csv", "columns": columns})
    assert worked(made)[0] == QUESTIONS[0][2]
    assert "gold-round-trip" in {finding.check for finding in contract(made)}


def test_a_column_that_is_not_there_is_named() -> None:
    made = task(demonstrations={"file": "my.csv", "columns": {"demonstration": {"column": "steps"}}})
    with pytest.raises(DataError, match="has no column 'steps'; its columns are 'question', 'answer', 'solution'"):
        made.examples("demonstrations")


def test_rows_without_a_solution_stay_without_one() -> None:
    made = task(solutions=[*QUESTIONS, ("What is 1 + 1?", "2", "")])
    assert worked(made)[-1] is None and made.appended("demonstrations") == len(QUESTIONS)


def test_solutions_that_are_set_aside_from_train_are_found_too() -> None:
    train = {"file": "my.csv", "rows": "5:"}
    made = task(demonstrations={"hold_out": 8}, train=train)
    assert len(worked(made)) == made.appended("demonstrations") == 8 and all(
        text is not None and "<answer>" in text for text in worked(made)
    )


def test_where_appending_does_not_help_the_check_says_why() -> None:
    made = task(format={"type": "tags", "stop": ["so"]})
    assert worked(made)[0] == QUESTIONS[0][2] and made.appended("demonstrations") == 0
    assert "gold-round-trip" in {finding.check for finding in contract(made)}
    columns = {"demonstration": {"column": "solution", "append_answer": "always"}}
    must = task(format={"type": "tags", "stop": ["so"]}, demonstrations={"file": "my.csv", "columns": columns})
    with pytest.raises(DataError, match=r"contains one of the stop strings \['so'\]"):
        must.examples("demonstrations")
