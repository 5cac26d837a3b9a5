"""The tolerance that fits the data: chosen once, by the plan, and stated wherever an accuracy is shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.judge import judge_file
from orchestrator.health.check import _tolerance
from orchestrator.plan.plan import Plan, TrialsPlan, compile_recipe
from orchestrator.recipe.recipe import load_recipe, load_task
from orchestrator.tasks.judged_by import judged_by, judged_by_settings
from orchestrator.tasks.tolerance import fitted

RECIPE = """\
name: test
task: {type: file, train: {file: train.jsonl}, test: {file: test.jsonl}}
model: {name: tiny}
stages: {grpo: {type: grpo, model: base}}
"""


def write(train: list[str], test: list[str]) -> None:
    """Write files with these gold answers as JSON numbers."""
    for name, golds in (("train", train), ("test", test)):
        lines = (f'{{"question": "{name} {n}?", "answer": {gold}}}\n' for n, gold in enumerate(golds))
        Path(f"{name}.jsonl").write_text("".join(lines))
    Path("r.yaml").write_text(RECIPE)


def planned(*overrides: str) -> Plan:
    made = compile_recipe(load_recipe("r.yaml", overrides))
    assert isinstance(made, Plan)
    return made


def judge_of(plan: Plan) -> Any:
    return plan.recipe.task.judge


@pytest.mark.parametrize(
    ("train", "test", "tolerance", "why"),
    [
        (["72", '"72"', '"$1,450"'], ["5", "-3"], 0.0, "tolerance 0: all 5 gold answers are whole numbers"),
        (["72.0", "1e20", '"10^3"'], ["6.02e23"], 0.0, "tolerance 0: all 4 gold answers are whole numbers"),
        (["72"], ["5", "2.5"], 0.01, "tolerance 0.01: 1 of 3 gold answers are not whole numbers, such as 2.5"),
        (['"3/4"'], ["5"], 0.01, "tolerance 0.01: 1 of 2 gold answers are not whole numbers, such as 3/4"),
    ],
)
def test_it_fits_the_gold_answers_of_all_splits(train: list[str], test: list[str], tolerance: float, why: str) -> None:
    write(train, test)
    plan = planned()
    assert (judge_of(plan).tolerance, plan.tolerance) == (tolerance, why)
    [finding] = _tolerance(plan)
    assert (finding.check, finding.severity) == ("tolerance-chosen", "info") and why.partition(": ")[2] in finding.what


def test_26_is_not_25_in_anybodys_file() -> None:
    write(["25"], ["30"])
    task = planned().recipe.task
    assert task.verdict("<answer>26</answer>", "25", "stop").status == "wrong"
    assert task.verdict("<answer>25.0</answer>", "25", "stop").status == "correct"


def test_what_a_recipe_says_is_left() -> None:
    write(["1.5"], ["2"])
    for setting, tolerance in (("task.judge.tolerance=0", 0.0), ("task.judge.tolerance=0.2", 0.2)):
        plan = planned(setting)
        assert (judge_of(plan).tolerance, plan.tolerance, list(_tolerance(plan))) == (tolerance, None, [])
    assert planned("task.judge={type: exact}").tolerance is None


def test_it_is_part_of_the_keys_and_of_the_recipe_that_a_run_keeps() -> None:
    write(["1", "2"], ["3", "4"])
    whole = planned()
    assert whole.key == planned("task.judge.tolerance=0").key != planned("task.judge.tolerance=0.01").key
    kept = whole.recipe.resolved()["task"]["judge"]
    assert kept == {"type": "numeric", "tolerance": 0.0, "decimal_comma": False}
    write(["1", "2.5"], ["3", "4"])
    assert planned().key != whole.key and planned().recipe.resolved()["task"]["judge"]["tolerance"] == 0.01


def test_every_seed_has_it() -> None:
    write(["1.5"], ["2"])
    several = compile_recipe(load_recipe("r.yaml", ["seeds=[0, 1]"]))
    assert isinstance(several, TrialsPlan)
    assert [judge_of(plan).tolerance for plan in several.plans] == [0.01, 0.01]
    assert several.recipe.task.judge.tolerance == 0.01  # type: ignore[attr-defined]
    assert several.plans[1].key == planned("seed=1").key


def test_settling_keeps_the_other_settings_and_what_was_read() -> None:
    write(['"0,5"'], ['"1"'])
    task = load_recipe("r.yaml", ["task.judge.decimal_comma=true", "task.judge.decimals=4"]).task
    settled, _ = fitted(task)
    assert settled.judge.model_dump() == {
        "type": "numeric",
        "tolerance": 0.01,
        "decimals": 4,
        "decimal_comma": True,
    }
    assert settled.examples("test") is task.examples("test")
    assert fitted(settled) == (settled, None)


def test_the_unit_task_keeps_its_published_rule() -> None:
    task = {"type": "units", "test": {"generate": 1}}
    Path("r.yaml").write_text(
        RECIPE.replace("{type: file, train: {file: train.jsonl}, test: {file: test.jsonl}}", "%s")
    )
    text = Path("r.yaml").read_text()
    for judge, tolerance, decimals in (
        (None, 0.05, 3),
        ({"tolerance": 0.01}, 0.01, 3),
        ({"decimals": 2}, 0.05, 2),
        ({"decimals": None, "type": "numeric"}, 0.05, 3),
    ):
        block = task | {"train": {"generate": 1}} | ({} if judge is None else {"judge": judge})
        Path("r.yaml").write_text(text % json.dumps(block))
        found = judge_of(planned())
        assert (found.tolerance, found.decimals, planned().tolerance) == (tolerance, decimals, None)


def test_a_recipe_of_an_older_run_judges_as_it_did() -> None:
    write(["25"], ["30"])
    plan = planned("task.judge={type: numeric, tolerance: 0.05, decimals: 3}")
    assert (judge_of(plan).tolerance, judge_of(plan).decimals) == (0.05, 3)
    assert plan.recipe.task.verdict("<answer>26</answer>", "25", "stop").status == "correct"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "numeric, equal to the gold answer; answers in <answer> tags"),
        (
            ["judge.tolerance=0.05", "judge.decimals=3"],
            "numeric, within 5% of the gold answer, both rounded to 3 decimals; answers in <answer> tags",
        ),
        (
            ["judge.decimals=1"],
            "numeric, equal to the gold answer, both rounded to 1 decimal; answers in <answer> tags",
        ),
        (["judge.tolerance=0.07"], "numeric, within 7% of the gold answer; answers in <answer> tags"),
        (
            ["judge.decimal_comma=true", "format.take=first"],
            "numeric, equal to the gold answer, with decimal commas; answers in <answer> tags, the first of several",
        ),
        (["format.type=boxed", "judge.type=exact"], "exact, the gold answer's text; answers in \\boxed{}"),
        (
            ["judge={type: exact, casefold: true}", "format.type=hash"],
            "exact, the gold answer's text, in upper or lower case; answers after ####",
        ),
        (
            ["judge.type=choice", "format.type=last_number"],
            "choice, the gold answer's option; the last number is the answer",
        ),
        (
            ["judge.type=math", "format={type: marker, marker: 'Answer:'}"],
            'math, worth the same as the gold answer to 6 digits; answers after "Answer:"',
        ),
        (
            ["format={type: json, field: result}"],
            'numeric, equal to the gold answer; answers in the JSON field "result"',
        ),
        (
            ["format={opening: '[[', closing: ']]'}"],
            "numeric, equal to the gold answer; answers between '[[' and ']]'",
        ),
        (
            ["judge={type: sequence, by: character}", "format={type: regex, pattern: 'is (.*)'}"],
            "sequence, the gold answer's characters in order; answers found by the pattern is (.*)",
        ),
    ],
)
def test_a_judge_in_words(settings: list[str], words: str) -> None:
    task = load_task(settings)
    assert judged_by(task) == words == judged_by_settings(task.model_dump(mode="json"))


def test_what_older_runs_tell_of_their_judge() -> None:
    old = {
        "type": "mine.py:Mine",
        "format": {"type": "tags"},
        "judge": {"type": "numeric", "tolerance": 0.05, "decimals": 3},
    }
    words = "numeric, within 5% of the gold answer, both rounded to 3 decimals"
    assert judged_by_settings(old) == f"{words}, or the task's own verdict; answers in <answer> tags"
    assert judged_by_settings(old | {"type": "file"}) == f"{words}; answers in <answer> tags"
    other = {"type": "of another version", "strict": True}
    assert judged_by_settings({"format": {"type": "tags"}, "judge": other}) == (
        "type of another version, strict True; answers in <answer> tags"
    )
    assert judged_by_settings({"type": "file"}) is None


def test_numbers_in_a_file_have_points_whatever_texts_have() -> None:
    write(["1.234", '"1,234"', "12.5"], ['"1.234"'])
    task = load_recipe("r.yaml", ["task.judge.decimal_comma=true"]).task
    assert [example.answer for example in task.examples("train")] == ["1,234", "1,234", "12,5"]
    for answer, text in (("1,234", "1,234"), ("12,5", "12,50"), ("1.234", "1234")):
        assert task.verdict(f"<answer>{text}</answer>", answer, "stop").status == "correct"
    Path("made.jsonl").write_text('{"text": "<answer>1,234</answer>", "answer": 1.234}\n')
    judged = judge_file(Path("made.jsonl"), load_task(["judge.decimal_comma=true"]))
    assert [verdict.status for verdict in judged.verdicts] == ["correct"]
