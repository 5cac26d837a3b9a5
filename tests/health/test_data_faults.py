"""Data that cannot be meant: each fault on data that is healthy without it, and what is found."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DataError
from orchestrator.health.data_faults import data_faults
from orchestrator.health.overlap import overlap
from orchestrator.recipe.recipe import load_task
from orchestrator.tasks import Task
from orchestrator.types import Finding

NAMES = re.findall(
    r"\w+", "Anna Ben Carla Dan Emil Fay Gus Hanna Ivo Jan Kim Lea Max Nora Ole Pia Quin Rosa Sam Tom Uli"
)
THINGS = re.findall(
    r"\w+", "apples boxes coins dogs eggs forks games hats inks jars keys lamps maps nuts oars pens rings"
)
Rows = list[dict[str, Any]]


def healthy(n: int = 60, first: int = 0) -> Rows:
    """Questions about different people and things, each with its worked solution and gold answer."""
    rows = []
    for number in range(first, first + n):
        chance = random.Random(number)
        a, b = chance.randrange(2, 99), chance.randrange(2, 99)
        name, thing = NAMES[number % len(NAMES)], THINGS[number % len(THINGS)]
        rows.append(
            {
                "question": f"{name} puts {a} {thing} into each of {b} bags: how many?",
                "answer": a * b,
                "demonstration": f"{a} * {b} = {a * b}\n#### {a * b}",
            }
        )
    return rows


def task(*settings: str, **splits: Rows) -> Task:
    overrides = ["format.type=hash", *settings]
    for split, rows in ({"test": healthy(20, 10_000)} | splits).items():
        Path(f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        overrides.append(f"{split}={{file: {split}.jsonl}}")
    return load_task(overrides)


def found(*settings: str, **splits: Rows) -> list[Finding]:
    return list(data_faults(task(*settings, **splits)))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [f.what for f in findings]
    [finding] = findings
    assert finding.evidence and finding.cause and finding.remedy and "\n" not in finding.what
    return finding


def column(rows: Rows, name: str, make: Callable[[int], Any]) -> Rows:
    return [row | {name: make(number)} for number, row in enumerate(rows)]


@pytest.mark.parametrize("n", [1, 3, 8, 20, 200])
def test_healthy_data(n: int) -> None:
    worked = healthy(n)
    bare = [{"question": row["question"], "answer": row["answer"]} for row in healthy(n, 1_000)]
    assert found(demonstrations=worked, train=bare) == []


def test_healthy_choices_and_texts() -> None:
    choices = [{"question": f"Is {n} even?", "answer": "yes" if n % 2 == 0 else "no"} for n in range(40)]
    words = [{"question": word, "answer": f"what one calls {word} in a shop"} for word in THINGS]
    assert found("judge.type=exact", train=choices, test=words) == []


def test_a_constant_gold_answer() -> None:
    finding = only(found(train=column(healthy(), "answer", lambda _: 7)))
    assert (finding.check, finding.severity) == ("gold-constant", "error")
    assert finding.what == "task.train: all 60 gold answers are '7'"
    mostly = only(found(train=column(healthy(), "answer", lambda n: 5 if n == 3 else 7)))
    assert (mostly.severity, mostly.what) == ("warning", "task.train: 59 of 60 gold answers are '7'")
    assert only(found(test=column(healthy(10), "answer", lambda _: 7))).severity == "warning", "10 may be chance"


def test_half_of_the_demonstrations_are_empty() -> None:
    rows = healthy()
    finding = only(
        found(demonstrations=column(rows, "demonstration", lambda n: rows[n]["demonstration"] if n % 2 else ""))
    )
    assert (finding.check, finding.severity) == ("demonstrations-empty", "warning")
    assert finding.what.startswith("task.demonstrations: 30 of 60 rows have no worked solution")


def test_the_same_demonstration_everywhere() -> None:
    rows = healthy()
    finding = only(found(demonstrations=column(rows, "demonstration", lambda _: rows[0]["demonstration"])))
    assert (finding.check, finding.severity) == ("demonstrations-alike", "error")
    assert "stands in 60 of 60 rows" in finding.what


def test_identical_rows() -> None:
    finding = only(found(train=healthy(1) * 60))
    assert (finding.check, finding.severity) == ("rows-repeated", "error")
    assert finding.what.startswith("task.train: 59 of 60 rows ask a question that an earlier row asks")
    assert only(found(train=healthy(30) * 2)).severity == "warning"
    assert only(found(train=[*healthy(60), healthy(1)[0]])).severity == "info"


def test_questions_and_answers_swapped() -> None:
    rows = [{"question": str(row["answer"]), "answer": row["question"]} for row in healthy()]
    finding = only(found("judge.type=exact", train=rows))
    assert (finding.check, finding.severity) == ("columns-swapped", "error")
    assert "60 of the answers end in a question mark, 0 of the questions do" in finding.what
    told = [row | {"answer": row["answer"].replace("?", ".")} for row in rows]
    assert only(found("judge.type=exact", train=told)).severity == "warning"


def test_questions_and_answers_swapped_where_answers_are_numbers() -> None:
    rows = [{"question": str(row["answer"]), "answer": row["question"]} for row in healthy()]
    with pytest.raises(DataError) as caught:
        task(train=rows).check()
    assert "questions and answers look swapped, as 60 of 60 gold answers cannot be judged" in caught.value.problems[0]
    with pytest.raises(DataError, match="write it as text; if it is the answer, swap the two"):
        task(train=[row | {"question": n} for n, row in enumerate(rows)]).check()


@pytest.mark.parametrize(("by", "neighbour"), [(1, "next"), (-1, "previous")])
def test_answers_shifted_by_a_row(by: int, neighbour: str) -> None:
    rows = healthy()
    slipped = column(rows, "answer", lambda n: rows[(n - by) % len(rows)]["answer"])
    finding = only(found(demonstrations=slipped))
    assert (finding.check, finding.severity) == ("answers-shifted", "error")
    assert f"59 of 60 worked solutions end in the gold answer of the {neighbour} row" in finding.what
    assert "slipped by a row" in finding.cause


@pytest.mark.parametrize(("by", "neighbour"), [(1, "next"), (-1, "previous")])
def test_questions_shifted_by_a_row(by: int, neighbour: str) -> None:
    rows = healthy()
    finding = only(found(demonstrations=column(rows, "question", lambda n: rows[(n - by) % len(rows)]["question"])))
    assert finding.check == "answers-shifted" and f"the numbers of the {neighbour} row's question" in finding.what


def test_answers_shuffled() -> None:
    rows = healthy()
    answers = [row["answer"] for row in rows]
    random.Random(0).shuffle(answers)
    finding = only(found(demonstrations=column(rows, "answer", lambda n: answers[n])))
    assert finding.check == "answers-shifted" and "sorted or shuffled" in finding.cause


# --- one question with two golds


def test_golds_that_are_one_value_make_one_question() -> None:
    rows = [{"question": "6 * 12?", "answer": gold} for gold in ("72", 72, "72.0", " 72 ")]
    assert len(task(train=rows).examples("train")) == 1
    with pytest.raises(DataError, match="again, with another answer"):
        task("judge.tolerance=0.5", train=[*rows, {"question": "6 * 12?", "answer": 73}]).check()
    with pytest.raises(DataError, match="again, with another answer"):
        task("judge.type=exact", train=rows).check()


# --- near-duplicates of short questions


def near(train: Rows, test: Rows) -> list[Finding]:
    return list(overlap(task(train=train, test=test)))


def test_short_questions_with_another_beginning() -> None:
    train = healthy(40)
    test = [
        row | {"question": f"{('Q: ', 'Please answer: ')[n % 2]}{row['question']}"} for n, row in enumerate(train[:20])
    ]
    [finding] = near(train, test)
    assert (finding.check, finding.severity) == ("near-duplicates", "warning")
    assert finding.what.startswith("20 of 20 test questions (100.0%) ")


def test_very_short_questions_with_another_beginning_or_end() -> None:
    train = [{"question": f"{NAMES[n]} has {n} {THINGS[n]}?", "answer": n} for n in range(15)]
    for change in ("Now: {}", "{} Think!", "Question 5. {}"):
        finding = only(near(train, [row | {"question": change.format(row["question"])} for row in train]))
        assert (finding.check, finding.severity) == ("near-duplicates", "warning"), change
        assert finding.what == "15 of 15 test questions (100.0%) are a training question but for its beginning or end"


def test_short_questions_with_one_number_changed() -> None:
    def asked(extra: int) -> Rows:
        return [{"question": f"{NAMES[n]} has {n + extra} {THINGS[n]}?", "answer": n + extra} for n in range(15)]

    finding = only(near(asked(2), asked(40)))
    assert (finding.check, finding.severity) == ("near-duplicates", "warning")
    assert finding.what == "15 of 15 test questions (100.0%) are a training question but for one number"
    assert "Anna has 40 apples?" in finding.evidence and "Anna has 2 apples?" in finding.evidence


def test_questions_of_one_pattern_are_only_told() -> None:
    def asked(first: int) -> Rows:
        return [{"question": f"What is {n} times 7?", "answer": n * 7} for n in range(first, first + 30)]

    finding = only(near(asked(0), asked(100)))
    assert (finding.check, finding.severity) == ("near-duplicates", "info")


@pytest.mark.parametrize("kind", ["units", "dyck"])
def test_generated_questions_are_not_each_others_doubles(kind: str) -> None:
    made = load_task([f"type={kind}", "train={generate: 600}", "test={hold_out: 100}"])
    assert [f for f in [*data_faults(made), *overlap(made)] if f.severity != "info"] == []
    for split in ("train", "test"):  # the same questions, as files
        rows = [{"question": e.question, "answer": e.answer} for e in made.examples(split)]
        Path(f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = load_task([f"type={kind}", "train={file: train.jsonl}", "test={file: test.jsonl}"])
    assert [f.what for f in overlap(files) if f.severity != "info" and "share 8 words" not in f.what] == []


def test_short_questions_that_are_others() -> None:
    capitals = [("France", "Paris"), ("Spain", "Madrid"), ("Italy", "Rome"), ("Peru", "Lima"), ("Chad", "N'Djamena")]
    rows = [{"question": f"What is the capital of {country}?", "answer": city} for country, city in capitals]
    assert list(overlap(task("judge.type=exact", train=rows[:3], test=rows[3:]))) == []
    assert all("share 8 words" in finding.what for finding in near(healthy(60), healthy(20, 5_000)))
    asked = [{"question": f"Could you say how much {n} {thing} is?", "answer": n % 5} for n, thing in enumerate(THINGS)]
    assert near(asked[:10], asked[10:]) == [], "the same answer, and what is asked for is another thing"
    even = [{"question": f"Is {word} a thing?", "answer": "yes" if n % 2 else "no"} for n, word in enumerate(THINGS)]
    assert list(overlap(task("judge.type=exact", train=even[:10], test=even[10:]))) == []
