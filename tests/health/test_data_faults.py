"""Implausible data: each fault on data that is healthy without it, and the finding."""

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
from orchestrator.health.refusals import refusals
from orchestrator.recipe.recipe import load_recipe, load_task
from orchestrator.tasks import Task
from orchestrator.types import Finding
from tests.conftest import REPOSITORY

NAMES = re.findall(
    r"\w+", "Anna Ben Carla Dan Emil Fay Gus Hanna Ivo Jan Kim Lea Max Nora Ole Pia Quin Rosa Sam Tom Uli"
)
THINGS = re.findall(
    r"\w+", "apples boxes coins dogs eggs forks games hats inks jars keys lamps maps nuts oars pens rings"
)
GSM8K = REPOSITORY.parent / "shared" / "data" / "gsm8k"
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


@pytest.mark.parametrize("forms", [["7", "7.0", "07"], ["7 km", "7 m", "7 cm", "7"]])
def test_a_constant_gold_answer_in_several_forms(forms: list[str]) -> None:
    made = task(train=column(healthy(), "answer", lambda n: forms[n % len(forms)]))
    finding = only(list(data_faults(made)))
    assert (finding.check, finding.severity) == ("gold-constant", "error")
    assert finding.what == f"task.train: all 60 gold answers are '{forms[0]}', also written " + ", ".join(
        map(repr, forms[1:])
    )
    assert list(refusals(made)) == [], "other rows' golds are right"
    assert found("judge.type=exact", train=column(healthy(), "answer", lambda n: forms[n % len(forms)])) == []
    near = column(healthy(), "answer", lambda n: 100 + n)
    assert found("judge.tolerance=0.9", train=near) == [], "a tolerance does not make them equal"


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
    assert "appears in 60 of 60 rows" in finding.what


def test_the_same_demonstration_but_for_its_answer() -> None:
    said = "Let us think step by step. <answer>{}</answer>"
    rows = healthy()
    templated = column(rows, "demonstration", lambda n: said.format(rows[n]["answer"]))
    finding = only(found("format.type=tags", demonstrations=templated))
    assert (finding.check, finding.severity) == ("demonstrations-alike", "warning")
    assert "appears in 60 of 60 rows, except for its final answer" in finding.what
    assert "Let us think step by step. <answer>...</answer>" in finding.evidence
    half = column(rows, "demonstration", lambda n: (templated if n % 3 else rows)[n]["demonstration"])
    assert "40 of 60 rows" in only(found("format.type=last_number", demonstrations=half)).what
    letters = column(rows, "answer", lambda n: "aer"[n % 3])
    letters = column(letters, "demonstration", lambda n: said.format("aer"[n % 3]))
    assert "in 60 of 60 rows" in only(found("format.type=tags", "judge.type=exact", demonstrations=letters)).what


@pytest.mark.parametrize(("settings", "said"), [("tags", "<answer>{}</answer>"), ("hash", "#### {}"), ("boxed", "{}")])
def test_demonstrations_that_are_bare_answers(settings: str, said: str) -> None:
    rows = healthy()
    said = r"\boxed{{{}}}" if settings == "boxed" else said
    bare = column(rows, "demonstration", lambda n: said.format(rows[n]["answer"]))
    assert found(f"format.type={settings}", demonstrations=bare) == []


def test_identical_rows() -> None:
    finding = only(found(train=healthy(1) * 60))
    assert (finding.check, finding.severity) == ("rows-repeated", "error")
    assert finding.what.startswith("task.train: 59 of 60 rows repeat the question and the answer of an earlier row")
    assert only(found(train=healthy(30) * 2)).severity == "warning"
    assert only(found(train=[*healthy(60), healthy(1)[0]])).severity == "info"


def test_questions_and_answers_swapped() -> None:
    rows = [{"question": str(row["answer"]), "answer": row["question"]} for row in healthy()]
    finding = only(found("judge.type=exact", train=rows))
    assert (finding.check, finding.severity) == ("columns-swapped", "error")
    assert "in 60 rows, 60 answers and 0 questions end in a question mark" in finding.what
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
    assert "shifted against the others" in finding.cause


@pytest.mark.parametrize(("by", "neighbour"), [(1, "next"), (-1, "previous")])
def test_questions_shifted_by_a_row(by: int, neighbour: str) -> None:
    rows = healthy()
    finding = only(found(demonstrations=column(rows, "question", lambda n: rows[(n - by) % len(rows)]["question"])))
    assert finding.check == "answers-shifted" and f"the numbers of the {neighbour} row's question" in finding.what


SHIFTS = {1: "next", -1: "previous", 3: "third following", -3: "third preceding"}


@pytest.mark.parametrize("by", SHIFTS)
@pytest.mark.parametrize("n", [20, 60])
def test_questions_shifted_beside_numbers_of_no_use(by: int, n: int) -> None:
    rows = healthy(n)
    shops = column(rows, "question", lambda k: f"In shop number {1_000 + k}, {rows[k]['question']}")
    assert found(demonstrations=shops) == []
    finding = only(found(demonstrations=column(shops, "question", lambda k: shops[(k - by) % n]["question"])))
    assert (finding.check, finding.severity) == ("answers-shifted", "error")
    assert f"the numbers of the {SHIFTS[by]} row's question (100% of theirs occur there)" in finding.what


def sample() -> Rows:
    """Questions written by people, with number words and irrelevant numbers."""
    text = (REPOSITORY / "recipes" / "data" / "gsm8k_sample.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("by", [0, *SHIFTS])
def test_sample_questions_shifted(by: int) -> None:
    rows = sample()
    slipped = column(rows, "question", lambda n: rows[(n - by) % len(rows)]["question"])
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, slipped)))
    made = load_task(["type=gsm8k", *(f"{split}={{file: rows.jsonl}}" for split in ("train", "test"))])
    findings = [finding for finding in data_faults(made) if finding.check == "answers-shifted"]
    assert len(findings) == (2 if by else 0), [finding.what for finding in findings]


@pytest.mark.parametrize("by", [0, *SHIFTS])
def test_generated_questions_shifted(by: int) -> None:
    made = load_task(["type=units", "train={generate: 200}", "test={generate: 10}"])
    rows = [
        {"question": e.question, "answer": e.answer, "demonstration": e.demonstration} for e in made.examples("train")
    ]
    slipped = column(rows, "question", lambda n: rows[(n - by) % len(rows)]["question"])
    findings = found("format.type=tags", demonstrations=slipped)
    assert [finding.check for finding in findings] == (["answers-shifted"] if by else [])


@pytest.mark.skipif(not GSM8K.is_dir(), reason="GSM8K is not beside the repository")
def test_published_data_are_healthy() -> None:
    files = {"train": GSM8K / "train.jsonl", "test": GSM8K / "test.jsonl"}
    made = load_task(["type=gsm8k", *(f"{split}={{file: {path}}}" for split, path in files.items())])
    assert [f.what for f in data_faults(made) if f.severity != "info"] == []


@pytest.mark.parametrize("recipe", ["answer_weight", "best_checkpoint", "dyck", "gsm8k_smoke", "rft", "rft_control"])
def test_shipped_recipes_are_healthy(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert list(data_faults(load_recipe(f"recipes/{recipe}.yaml", ()).task)) == []


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
    with pytest.raises(DataError, match="with another answer"):
        task("judge.tolerance=0.5", train=[*rows, {"question": "6 * 12?", "answer": 73}]).check()
    with pytest.raises(DataError, match="with another answer"):
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
        assert (
            finding.what
            == "15 of 15 test questions (100.0%) differ from a training question only in its beginning or end"
        )


def test_short_questions_with_one_number_changed() -> None:
    def asked(extra: int) -> Rows:
        return [{"question": f"{NAMES[n]} has {n + extra} {THINGS[n]}?", "answer": n + extra} for n in range(15)]

    finding = only(near(asked(2), asked(40)))
    assert (finding.check, finding.severity) == ("near-duplicates", "warning")
    assert finding.what == "15 of 15 test questions (100.0%) differ from a training question only in one number"
    assert "Anna has 40 apples?" in finding.evidence and "Anna has 2 apples?" in finding.evidence


def test_questions_of_one_pattern_are_only_told() -> None:
    def asked(first: int) -> Rows:
        return [{"question": f"What is {n} times 7?", "answer": n * 7} for n in range(first, first + 30)]

    finding = only(near(asked(0), asked(100)))
    assert (finding.check, finding.severity) == ("near-duplicates", "info")


CHINESE = [
    f"{name}有{3 * n + 2}个{thing}，又买了{n + 4}个，一共有多少个？"
    for n, (name, thing) in enumerate(
        zip(
            ["小明", "小红", "小刚", "小丽", "小华", "小芳", "小军", "小燕", "小强", "小兰", "小龙", "小玉"],
            ["苹果", "铅笔", "气球", "橘子", "书本", "糖果", "鸡蛋", "杯子", "玩具", "贝壳", "邮票", "花盆"],
            strict=True,
        )
    )
]
JAPANESE = [
    f"{name}は{thing}を{3 * n + 2}個持っています。全部でいくつですか。"
    for n, (name, thing) in enumerate(
        zip(
            ["太郎", "花子", "次郎", "恵子", "健太", "美咲", "大輔", "由美", "翔太", "直子"],
            ["りんご", "みかん", "本", "鉛筆", "風船", "卵", "コップ", "切手", "花", "石"],
            strict=True,
        )
    )
]


@pytest.mark.parametrize(
    ("questions", "change"),
    [
        (CHINESE, lambda q: f"请问：{q}"),
        (CHINESE, lambda q: f"请回答下面的问题：{q}"),
        (CHINESE, lambda q: q.replace("又买", "后来又买")),
        (CHINESE, lambda q: q.replace("，", ",")),
        (JAPANESE, lambda q: f"問題：{q}"),
        (JAPANESE, lambda q: q.replace("全部で", "今は全部で")),
        ([q * 3 for q in JAPANESE], lambda q: f"問題：{q}次の問い"),
    ],
)
def test_questions_without_spaces_that_are_all_but_equal(questions: list[str], change: Callable[[str], str]) -> None:
    train = [{"question": question, "answer": 41 * n + 7} for n, question in enumerate(questions)]
    findings = near(train, [row | {"question": change(row["question"])} for row in train])
    assert sum(int(finding.what.split(" of ")[0]) for finding in findings) == len(train), [f.what for f in findings]
    assert {finding.severity for finding in findings} <= {"warning", "error"}


@pytest.mark.parametrize("questions", [CHINESE, JAPANESE])
def test_questions_without_spaces_that_are_others(questions: list[str]) -> None:
    rows = [{"question": question, "answer": 41 * n + 7} for n, question in enumerate(questions)]
    assert [f.what for f in near(rows[::2], rows[1::2]) if f.severity != "info"] == []


@pytest.mark.parametrize("kind", ["units", "dyck"])
def test_generated_questions_are_not_each_others_doubles(kind: str) -> None:
    made = load_task([f"type={kind}", "train={generate: 600}", "test={hold_out: 100}"])
    assert [f for f in [*data_faults(made), *overlap(made)] if f.severity != "info"] == []
    for split in ("train", "test"):  # the same questions, from files
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
    assert near(asked[:10], asked[10:]) == [], "the same answer, but the question is about another thing"
    even = [{"question": f"Is {word} a thing?", "answer": "yes" if n % 2 else "no"} for n, word in enumerate(THINGS)]
    assert list(overlap(task("judge.type=exact", train=even[:10], test=even[10:]))) == []
