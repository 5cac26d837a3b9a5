"""A recipe for the user's own file: what is inferred from its rows, what is written, and what is refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.check import check
from orchestrator.commands.init import copy_shipped, init, shipped
from orchestrator.errors import DataError, InputError
from orchestrator.recipe.recipe import Recipe, load_recipe
from tests.conftest import REPOSITORY, call

SUMS = [(f"Tom has {n} pens and gets {n + 3} more. How many has he?", str(2 * n + 3), f"{n} + {n + 3} = {2 * n + 3}.")
        for n in range(2, 62)]  # fmt: skip


def write(name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with Path(name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return Path(name)


def made(header: Sequence[str], rows: Sequence[Sequence[Any]], **settings: Any) -> Recipe:
    """The recipe written for a file with these rows."""
    return load_recipe(init(write("my.csv", header, rows), **settings).recipe)


def test_a_csv_of_word_problems_needs_no_edit() -> None:
    begun = init(write("words.csv", ("question", "answer", "solution"), SUMS))
    assert begun.recipe == Path("words.yaml") and Path("recipe.schema.json").is_file()
    recipe = load_recipe(begun.recipe)
    assert recipe.name == "words" and list(recipe.stages) == ["sft", "samples", "chosen", "rft"]
    task = recipe.task
    assert {split: len(task.examples(split)) for split in ("demonstrations", "train", "test")} == {
        "demonstrations": 9,
        "train": 21,
        "test": 30,
    }
    assert str(task.examples("demonstrations")[0].demonstration).endswith("</answer>")
    assert task.judge.model_dump()["tolerance"] == 0
    assert {what for what, _, _ in begun.reasons} == {"task", "judge", "format", "test", "model"}
    report = check(recipe)
    assert not report.errors, [finding.what for finding in report.errors]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (("Question", "Final Answer", "Rationale"), {"question": "Question", "answer": "Final Answer"}),
        (("prompt", "gold", "steps"), {"question": "prompt", "answer": "gold"}),
        (("whatever", "answer", "solution"), {"question": "whatever"}),
    ],
)
def test_columns_are_known_by_their_names(header: Sequence[str], named: dict[str, str]) -> None:
    columns = made(header, SUMS).task.train.columns  # type: ignore[union-attr]
    assert {role: getattr(columns, role) for role in named} == named
    assert columns.worked in (header[2], "demonstration")


def test_columns_may_be_named() -> None:
    recipe = made(("a1", "b2", "c3"), SUMS, question="a1", answer="b2", solution="c3")
    assert recipe.task.examples("test")[0].question.startswith("Tom has")
    assert recipe.task.demonstrations is not None


def test_columns_that_cannot_be_told_are_an_error_that_shows_a_row() -> None:
    with pytest.raises(DataError) as raised:
        init(write("my.csv", ("x", "y", "z"), SUMS))
    [problem] = raised.value.problems
    assert "no column looks like the question or the answer; its columns are 'x', 'y', 'z'" in problem
    assert "Tom has 2 pens" in problem and "--question COLUMN" in problem
    with pytest.raises(DataError, match="has no column 'w'; its columns are 'x', 'y', 'z'"):
        init(Path("my.csv"), question="w")
    assert not Path("my.yaml").exists()


@pytest.mark.parametrize(
    ("golds", "judge"),
    [
        ([str(n) for n in range(40)], {"type": "numeric", "tolerance": 0.0}),
        ([f"{n}.{n % 7}5" for n in range(40)], {"type": "numeric", "tolerance": None}),
        ([f"\\frac{{{n}}}{{7}}" for n in range(40)], {"type": "math"}),
        (["ABCD"[n % 4] for n in range(40)], {"type": "choice"}),
        ([f"Town {'abcdefgh'[n % 8]}{n}" for n in range(40)], {"type": "exact", "casefold": True}),
    ],
)
def test_the_judge_suits_the_answers(golds: Sequence[str], judge: dict[str, Any]) -> None:
    rows = [(f"Which one is number {n}? (A) this (B) that", gold) for n, gold in enumerate(golds)]
    recipe = made(("question", "answer"), rows)
    found = recipe.task.judge.model_dump()
    assert {name: found[name] for name in judge} == judge
    one = recipe.task.examples("demonstrations")[0]
    assert one.demonstration is None and recipe.task.target(one).count(one.answer) == 1, "a bare answer"
    assert recipe.task.verdict(recipe.task.target(one), one.answer, "stop").status == "correct", "SFT learns the format"
    assert recipe.stages["samples"].model == "sft"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("{}.\n#### {}", "hash"),
        ("{}, so \\boxed{{{}}}", "boxed"),
        ("{}\nFinal answer: {}", "marker"),
        ("{} <answer>{}</answer>", "tags"),
        ("{} = {}", "tags"),
    ],
)
def test_the_format_is_that_of_the_solutions(end: str, kind: str) -> None:
    rows = [(question, gold, end.format(worked, gold)) for question, gold, worked in SUMS]
    recipe = made(("question", "answer", "solution"), rows)
    assert recipe.task.format.type == kind
    report = check(recipe)
    assert not report.errors, [finding.what for finding in report.errors]


def test_gsm8ks_own_layout_is_known() -> None:
    rows = [{"question": q, "answer": f"{worked}\n#### {gold}"} for q, gold, worked in SUMS]
    Path("my.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = load_recipe(init(Path("my.jsonl")).recipe)
    assert recipe.task.type == "gsm8k" and recipe.task.examples("test")[0].answer.isdigit()


def test_a_chat_model_is_asked_in_its_template_for_the_format() -> None:
    recipe = made(("question", "answer", "solution"), SUMS, model="Qwen/Qwen2.5-0.5B-Instruct")
    assert recipe.task.format.chat and "<answer>" in recipe.task.format.prompt
    assert recipe.model.name == "Qwen/Qwen2.5-0.5B-Instruct"
    assert not recipe.stages["chosen"].allow_empty  # type: ignore[attr-defined]


def test_test_questions_may_be_in_another_file() -> None:
    header = ("question", "answer", "solution")
    recipe = made(header, SUMS[:40], test=write("test.csv", header, SUMS[40:]))
    assert len(recipe.task.examples("test")) == 20 and len(recipe.task.examples("train")) == 28


def test_pairs_need_no_columns() -> None:
    Path("my.json").write_text(json.dumps([[q, int(gold)] for q, gold, _ in SUMS]))
    assert load_recipe(init(Path("my.json")).recipe).task.examples("test")


def test_what_is_there_is_not_written_over() -> None:
    data = write("my.csv", ("question", "answer"), [row[:2] for row in SUMS])
    Path("my.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"my.yaml: already exists; name another with --out FILE"):
        init(data)
    assert Path("my.yaml").read_text() == "mine"
    assert init(data, to=Path("other.yaml")).recipe.is_file()
    with pytest.raises(InputError, match="there is no folder"):
        init(data, to=Path("nowhere/x.yaml"))


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(DataError, match=r"has 5 questions: at least 20 are needed"):
        init(write("my.csv", ("question", "answer"), [row[:2] for row in SUMS[:5]]))
    assert not Path("my.yaml").exists()


def test_shipped_recipes_are_listed_and_copied() -> None:
    assert set(shipped()) == {path.stem for path in (REPOSITORY / "recipes").glob("*.yaml")}
    assert shipped()["rft"] == "Rejection-sampling fine-tuning, end to end, on any CPU."
    begun = copy_shipped("gsm8k_smoke")
    recipe = load_recipe(begun.recipe)
    assert recipe.task.examples("test") and Path("data/gsm8k_sample.jsonl").is_file()
    assert "orch run gsm8k_smoke.yaml" in begun.recipe.read_text()
    with pytest.raises(InputError, match="unknown recipe 'rtf'; did you mean 'rft'"):
        copy_shipped("rtf")
    with pytest.raises(InputError, match="already exists"):
        copy_shipped("gsm8k_smoke")


def test_the_command_says_why_and_what_comes_next(tmp_path: Path) -> None:
    write("words.csv", ("question", "answer", "solution"), SUMS)
    called = call(tmp_path, "init", "--data", "words.csv")
    assert called.code == 0, called.err
    assert "all 60 answers are whole numbers: no tolerance" in called.out
    assert "orch run words.yaml" in called.out
    for arguments in ((), ("rft", "--list")):
        refused = call(tmp_path, "init", *arguments)
        assert refused.code == 2 and len(refused.err.splitlines()) == 1, refused.err
    listed = call(tmp_path, "init", "--list", "--json")
    assert "rft" in listed.json["recipes"]


def test_a_recipe_is_written_out_with_every_default(tmp_path: Path) -> None:
    write("words.csv", ("question", "answer", "solution"), SUMS)
    recipe = init(Path("words.csv")).recipe
    called = call(tmp_path, "plan", str(recipe), "--resolved", "stages.samples.n=3")
    assert called.code == 0, called.err
    assert "# judged by: numeric, equal to the gold answer; answers in <answer> tags\n" in called.out
    assert "How many has he?\\n'" in called.out, "as the model gets it"
    Path("again.yaml").write_text(called.out)
    again, once = load_recipe("again.yaml"), load_recipe(recipe, ["stages.samples.n=3"])
    assert again.resolved() == once.resolved() and again.stages["samples"].top_p == 1.0  # type: ignore[attr-defined]
    assert call(tmp_path, "plan", str(recipe), "--resolved", "--json").json["recipe"]["name"] == "words"


@pytest.mark.parametrize(
    ("header", "settings", "said"),
    [
        (("a", "b"), {}, "no column looks like the question or the answer"),
        (("x", "y"), {"question": "x", "answer": "x"}, "'x' cannot be both the question and the answer"),
        (("question", "answer"), {"model": ""}, "--model: is empty; name tiny, a folder, or a Hub id"),
        (("question", "answer"), {"model": "  "}, "--model: is empty"),
    ],
)
def test_what_would_be_a_recipe_of_something_else_is_refused(
    header: Sequence[str], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((DataError, InputError)) as raised:
        init(write("my.csv", header, [row[:2] for row in SUMS]), **settings)
    assert said in str(raised.value) and not Path("my.yaml").exists()


def test_a_column_that_the_user_named_is_told_as_that() -> None:
    begun = init(write("my.csv", ("text", "gold"), [row[:2] for row in SUMS]), question="text", answer="gold")
    why = {what: reason for what, _, reason in begun.reasons}
    assert why["question"] == why["answer"] == "as you named it"
    assert "`--model` names a real one" in begun.recipe.read_text()
