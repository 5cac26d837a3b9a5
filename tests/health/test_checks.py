"""Checks before a run that need no model: gold answers, leaks, overlap with the test, the size of the test."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm

from orchestrator.health.contract import contract, opening_text
from orchestrator.health.leaks import leaks
from orchestrator.health.overlap import asked_in_training, copies, overlap
from orchestrator.health.power import DISCORDANT, power
from orchestrator.recipe.recipe import Recipe, load_recipe, load_task
from orchestrator.stats import detectable_difference, mcnemar
from orchestrator.tasks import Task
from orchestrator.types import Example, Finding

LIGHT = [
    *(f"orchestrator.health.{name}" for name in ("causes", "contract", "diagnosis", "leaks", "overlap", "power")),
    *(f"orchestrator.health.{name}" for name in ("findings", "token_view", "written")),
    "orchestrator.training.watch",
    *(f"orchestrator.{name}" for name in ("commands.check", "cli.show.findings", "commands.judge", "models.start")),
]


def task(*settings: str, **splits: list[Any]) -> Task:
    """A task with rows from files: each row is [question, answer] or an object."""
    given = []
    for split, rows in {"test": [["How many legs has a spider?", 8]], **splits}.items():
        Path(f"{split}.json").write_text(json.dumps(rows))
        given.append(f"{split}={{file: {split}.json}}")
    return load_task(["test={}", *given, *settings])


def setting(name: str, value: object) -> str:
    return f"{name}={json.dumps(value)}"


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_what_needs_no_model_loads_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'ray', 'mlflow'}"
    code = f"import sys, {', '.join(LIGHT)}\nsys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the contract: gold answers are read back

FORMATS = {
    "tags": ["format.type=tags"],
    "other tags": ["format.opening='[['", "format.closing=']]'"],
    "hash": ["format.type=hash"],
    "boxed": ["format.type=boxed"],
    "marker": ["format.type=marker"],
    "json": ["format.type=json"],
    "last number": ["format.type=last_number"],
    "regex": ["format.type=regex", "format.pattern='A: ([0-9.]+)'", "format.target='A: {answer}'"],
    "prefix": ["format.prefix=<answer>"],
    "stop": ["format.stop=[</answer>]"],
}


@pytest.mark.parametrize("settings", FORMATS.values(), ids=FORMATS.keys())
def test_bare_answers_come_back_under_every_format(settings: list[str]) -> None:
    assert list(contract(task(*settings, train=[["a", 5], ["b", 0.25], ["c", 1200]]))) == []


def test_worked_solutions_that_end_in_another_answer_are_found() -> None:
    rows = [
        {"question": "a", "answer": 5, "demonstration": "2 + 3 <answer>5</answer>"},
        {"question": "b", "answer": 6, "demonstration": "2 + 3 <answer>5</answer>"},
        {"question": "c", "answer": 7, "demonstration": "it is <answer>seven or so</answer>"},
    ]
    found = only(contract(task(demonstrations=rows)))
    assert (found.check, found.severity) == ("gold-round-trip", "error")
    assert found.what.startswith("task.demonstrations: 2 of 3 gold answers")
    assert "gold '6'" in found.evidence and "parsed '5': wrong" in found.evidence
    assert "parsed None: unparsed" in found.evidence
    assert "worked solution" in found.cause


def test_answers_that_the_format_cannot_hold_are_found_with_the_reason() -> None:
    rows = [["a", "x </answer> y"], ["b", "fine"], ["c", "<answer>"]]
    found = only(contract(task("judge.type=exact", train=rows, test=[["d", "fine too"]])))
    assert found.check == "gold-round-trip" and "task.train: 2 of 3" in found.what
    assert "cannot be read back" in found.evidence and "worked" not in found.cause


def test_at_most_three_rows_are_shown_and_long_ones_are_cut() -> None:
    rows = [
        {"question": f"q{n}", "answer": n, "demonstration": "so " * 200 + "<answer>nothing</answer>"} for n in range(9)
    ]
    found = only(contract(task(demonstrations=rows)))
    assert "9 of 9" in found.what and len(found.evidence.splitlines()) == 3
    assert all(len(line) < 250 for line in found.evidence.splitlines())


# --- the contract: the model itself must write the opening of the answer

OPENINGS = {
    "tags": ("<answer>", ["format.type=tags"]),
    "hash": ("####", ["format.type=hash"]),
    "boxed": ("\\boxed{", ["format.type=boxed"]),
    "marker": ("FINAL ANSWER:", ["format.type=marker"]),
    "json": ('{"answer":', ["format.type=json"]),
}


@pytest.mark.parametrize(("opening", "settings"), OPENINGS.values(), ids=OPENINGS.keys())
def test_an_opening_at_the_end_of_the_prompt_is_an_error(opening: str, settings: list[str]) -> None:
    assert opening_text(task(*settings)) == opening
    found = only(contract(task(*settings, setting("format.prompt", f"{{question}}\n{opening} "))))
    assert (found.check, found.severity) == ("opening-in-prompt", "error")
    assert repr(opening) in found.what and "task.format.prefix" in found.remedy


@pytest.mark.parametrize(("opening", "settings"), OPENINGS.values(), ids=OPENINGS.keys())
def test_as_a_prefix_or_in_the_instructions_it_is_none(opening: str, settings: list[str]) -> None:
    assert list(contract(task(*settings, setting("format.prefix", opening)))) == []
    for prompt in (f"Write {opening} before the answer. {{question}}\n", f"{{question}}\nEnd in {opening} 5.\n"):
        assert list(contract(task(*settings, setting("format.prompt", prompt)))) == []


@pytest.mark.parametrize(("opening", "settings"), OPENINGS.values(), ids=OPENINGS.keys())
def test_in_a_chat_the_model_begins_anew_whatever_the_message_ends_in(opening: str, settings: list[str]) -> None:
    prompt = setting("format.prompt", f"{{question}}\n{opening}")
    assert list(contract(task(*settings, prompt, "format.chat=true"))) == []


LINES = {
    "hash": ("####", ["format.type=hash"]),
    "marker": ("FINAL ANSWER:", ["format.type=marker"]),
    "regex": ("A:", FORMATS["regex"]),
    "tags that end with the line": ("####", ["format.opening='#### '", 'format.closing="\n"']),
}


@pytest.mark.parametrize(("opening", "settings"), LINES.values(), ids=LINES.keys())
def test_a_mark_at_the_end_of_an_instruction_is_no_opening(opening: str, settings: list[str]) -> None:
    for prompt in (f"{{question}}\nThink, then give the answer after {opening}\n", f"{{question}} End in {opening}"):
        assert list(contract(task(*settings, setting("format.prompt", prompt)))) == []
    for prompt in (f"{{question}}\n{opening}\n", f"{{question}} {opening} ", f"{{question}}\nWrite:\n{opening}"):
        found = only(contract(task(*settings, setting("format.prompt", prompt))))
        assert found.check == "opening-in-prompt"


def test_a_marker_in_other_letters_opens_the_answer_where_case_is_nothing() -> None:
    prompt = setting("format.prompt", "{question}\nFinal answer:")
    assert only(contract(task("format.type=marker", prompt))).check == "opening-in-prompt"
    assert list(contract(task("format.type=marker", "format.ignore_case=false", prompt))) == []


# --- leaks: the answer is in the question


@pytest.mark.parametrize(
    ("settings", "question"),
    [
        (["format.type=tags"], "How far? <answer>5</answer>"),
        (["format.type=hash"], "How far?\nFive.\n#### 5"),
        (["format.type=boxed"], "How far? \\boxed{5}"),
        (["format.type=json"], 'How far? {"answer": 5}'),
        (["format.prefix=<answer>"], "How far? <answer>5</answer>"),
        (FORMATS["regex"], "How far? A: 5"),
    ],
)
def test_a_question_with_its_answer_is_an_error(settings: list[str], question: str) -> None:
    found = only(leaks(task(*settings, train=[[question, 5], ["How many?", 6]])))
    assert (found.check, found.severity) == ("answer-in-prompt", "error")
    assert found.what == "task.train: 1 of 2 questions contain their own answer"
    assert "(gold '5')" in found.evidence


def test_a_question_with_its_worked_solution_is_an_error() -> None:
    worked = "Two and three. <answer>5</answer>"
    rows = [{"question": f"How much? {worked}", "answer": 5, "demonstration": worked}]
    assert only(leaks(task(demonstrations=rows))).what.startswith("task.demonstrations: 1 of 1")
    short = [{"question": "Is it 5 or 6?", "answer": 5, "demonstration": "5"}]
    assert list(leaks(task("format.type=last_number", demonstrations=short))) == []


@pytest.mark.parametrize(
    "settings",
    [["format.type=last_number"], ["format.type=regex", "format.pattern='([0-9]+)'"], FORMATS["tags"]],
)
def test_the_answer_among_the_numbers_of_a_question_is_no_leak(settings: list[str]) -> None:
    assert (
        list(leaks(task(*settings, train=[["Take 0 away from 7", 7], ["What is half of 20, or 5 + 5: 10?", 10]]))) == []
    )


def test_an_example_answer_in_a_question_is_no_leak() -> None:
    assert list(leaks(task(train=[["Answer as in <answer>3</answer>: what is 4 + 4?", 8]]))) == []


OWN_TASK = """\
from orchestrator import Task
from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.types import Verdict

class Mine(Task):
    type: str = "mine"
    judge: Judge = NumericJudge(type="numeric")

    def verdict(self, text, answer, finish_reason):
        numbers = [word for word in text.replace("<", " ").replace(">", " ").replace("?", " ").split()
                   if word.isdigit()]
        return Verdict("correct" if answer in numbers[-1:] else "wrong", str(numbers[-1:]))
"""


def own_task(rows: list[Any], *settings: str) -> Task:
    """A task whose own verdict accepts the last number anywhere."""
    Path("mine.py").write_text(OWN_TASK)
    return task("type=mine.py:Mine", *settings, train=rows)


@pytest.mark.parametrize("settings", [["format.type=tags"], FORMATS["regex"], ["format.type=last_number"]])
def test_a_verdict_of_ones_own_that_reads_any_number_makes_no_leak(settings: list[str]) -> None:
    rows = [["Which is larger, 3 or 4?", 4], ["Which is larger, 5 or 6?", 6]]
    assert list(leaks(own_task(rows, *settings))) == []


def test_a_marked_answer_is_a_leak_whatever_judges_it() -> None:
    found = only(leaks(own_task([["Which is larger, 3 or 4? <answer>4</answer>", 4], ["Is 7 < 8 ?", 8]])))
    assert (found.check, found.severity) == ("answer-in-prompt", "error") and "1 of 2" in found.what


@pytest.mark.parametrize(("told", "severity"), [(19, "warning"), (20, "error")])
def test_a_few_questions_that_speak_of_their_answer_are_a_warning(told: int, severity: str) -> None:
    rows = [[f"Question {n}, as in <answer>{n if n < told else -7}</answer>", n] for n in range(100)]
    found = only(leaks(task(train=rows)))
    assert (found.check, found.severity) == ("answer-in-prompt", severity) and f"{told} of 100" in found.what


# --- overlap: test questions among the training questions

LONG = "A train leaves the station at noon and travels for {} hours at the same speed"


def test_the_same_question_in_other_case_and_punctuation_is_found() -> None:
    train = [["How many legs has a SPIDER", 8], ["Other", 1]]
    found = only(overlap(task(train=train, test=[["“How many  legs - has a spider,?!”", 8], ["New", 2]])))
    assert (found.check, found.severity) == ("test-in-training", "error")
    assert found.what == "1 of 2 test questions appear in task.train"
    assert "“How many" in found.evidence


def test_each_training_split_is_named() -> None:
    worked = [{"question": "one", "answer": 1, "demonstration": "<answer>1</answer>"}]
    found = list(overlap(task(demonstrations=worked, train=[["two", 2]], test=[["One.", 1], ["Two!", 2], ["x", 3]])))
    assert [f.what for f in found] == [
        "1 of 3 test questions appear in task.demonstrations",
        "1 of 3 test questions appear in task.train",
    ]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("What is 12 + 7?", "What is 12 - 7?"),
        ("What is 12 * 7?", "What is 12 / 7?"),
        ("Complete: ( [ ( )", "Complete: ( [ [ ]"),
        ("( [ ) ]", "[ ( ] )"),
        ("What is 1.5 + 1?", "What is 15 + 1?"),
        ("What is -5 times 2?", "What is 5 times 2?"),
        ("What is –5 times 2?", "What is 5 times 2?"),
        ("What is −5 times 2?", "What is 5 times 2?"),
        ("How many cm are .5 m?", "How many cm are 5 m?"),
        ("Find f'(2)", "Find f(2)"),
        ("Find f''(2)", "Find f'(2)"),
        ("Solve y' = y.", "Solve y = y."),
        ("Were they?", "We're they?"),
        ("How much is 5!", "How much is 5"),
        ("?", "!"),
    ],
)
def test_signs_make_another_question(train: str, test: str) -> None:
    assert copies([Example("1", test, 1.0)], [train]) == []
    assert copies([Example("1", test, 1.0)], [test.upper()]) != []


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Don't they have 5?", "don’t they have 5."),
        ("What is -5 + 10-12?", "What is –5 + 10–12"),
        ("Find f'(2).", "find f′(2)"),
        ("Is 'a' or ‘5’ the dogs' number?!", "Is a, or 5, the dogs number"),
        ("Wait... 5 is a number: true", "Wait 5 is a number - true!"),
        ("Wait...5", "Wait 5"),
    ],
)
def test_typography_makes_no_other_question(train: str, test: str) -> None:
    assert copies([Example("1", test, 1.0)], [train]) != []


def test_eight_words_in_a_row_make_a_near_duplicate() -> None:
    eight, seven = "one two three four five six seven eight", "b2 b3 b4 b5 b6 b7 b8"
    test = [[f"Before, {eight}; and after?", 1], [f"b0 b1x {seven} end", 2]]
    found = only(overlap(task(train=[[f"first {eight.upper()} last", 1], [f"start {seven} stop", 3]], test=test)))
    assert (found.check, found.severity) == ("near-duplicates", "warning")
    assert found.what.startswith("1 of 2 test questions (50.0%) share 8 words")
    assert "Before" in found.evidence and "b0" not in found.evidence


def recipe(*overrides: str) -> Recipe:
    stages = """
stages:
  sft: {type: sft, data: demonstrations, learning_rate: 1e-3, max_steps: 4, per_device_train_batch_size: 4}
  samples: {type: sample, model: sft, n: 2, max_tokens: 9}
  chosen: {type: select, from: samples, keep: correct}
  rft: {type: sft, data: [chosen], learning_rate: 1e-3, max_steps: 4, per_device_train_batch_size: 4}
"""
    splits = "demonstrations: {generate: 9}, train: {generate: 9}, test: {generate: 9}, validation: {generate: 9}"
    Path("r.yaml").write_text(f"name: r\ntask: {{type: units, {splits}}}\nmodel: {{name: tiny}}{stages}")
    return load_recipe("r.yaml", overrides)


def test_models_that_are_compared_on_what_they_learned_from() -> None:
    assert list(asked_in_training(recipe())) == []
    for split, learned in (("demonstrations", "sft"), ("train", "rft")):
        found = only(asked_in_training(recipe(f"evaluate.on={split}")))
        assert (found.check, found.severity) == ("test-in-training", "error")
        assert found.what == f"models are compared on task.{split}, and {learned} learned from it"
    both = only(asked_in_training(recipe("evaluate.on=demonstrations", "stages.rft.data=[demonstrations, chosen]")))
    assert "sft and rft learned" in both.what
    assert list(asked_in_training(recipe("evaluate.also=[train]"))) == [], "allowed beside the test"
    assert list(asked_in_training(recipe("evaluate.on=train", "evaluate.models=[base, sft]"))) == [], "rft is left out"


def test_models_that_are_compared_on_what_chose_their_checkpoint() -> None:
    asked = "evaluate.on=validation"
    assert list(asked_in_training(recipe(asked))) == []
    assert list(asked_in_training(recipe(asked, "stages.rft.validation={every: 2, select: last}"))) == []
    found = only(asked_in_training(recipe(asked, "stages.rft.validation={every: 2}")))
    assert (found.severity, found.what.endswith("and rft chose a checkpoint by it")) == ("warning", True)


def test_few_near_duplicates_are_only_told() -> None:
    test = [[LONG.format("two"), 2], *([f"question {n}", n] for n in range(19))]
    assert only(overlap(task(train=[[LONG.format("three"), 3]], test=test))).severity == "info"


def test_questions_of_one_pattern_are_only_told() -> None:
    def bought(n: int) -> list[Any]:
        return [f"{chr(65 + n)} pays with ${n} and gets some change back. How much change, in dollars?", n]

    train, test = [bought(n) for n in range(20)], [bought(n) for n in range(20, 40)]
    [found] = [f for f in overlap(task(train=train, test=test)) if "share 8 words" in f.what]
    assert found.severity == "info" and found.what.startswith("20 of 20")
    copied = only(overlap(task(train=train, test=[*test[:1], *([f"other {n}", n] for n in range(4))])))
    assert copied.severity == "warning", "a lone one among others"


def test_questions_from_one_generator_are_only_told() -> None:
    made = load_task(["type=units", "train={generate: 300}", "test={generate: 60}"])
    assert [f.severity for f in overlap(made) if f.check == "near-duplicates"] in ([], ["info"])
    assert not [f for f in overlap(made) if f.check == "test-in-training"]


def test_a_copy_is_not_told_again_as_a_near_duplicate() -> None:
    found = only(overlap(task(train=[[LONG.format(2), 2]], test=[[LONG.format(2) + "?", 2]])))
    assert found.check == "test-in-training"


# --- the size of the test


def rejected(n: int, difference: float, draws: int = 20_000) -> float:
    """How often McNemar's exact test finds a true difference, by simulation (its power)."""
    shares = [(DISCORDANT + difference) / 2, (DISCORDANT - difference) / 2, 1 - DISCORDANT]
    wins, losses, _ = np.random.default_rng(0).multinomial(n, shares, size=draws).T
    fewer, both = np.minimum(wins, losses), wins + losses
    return float((2 * binom.cdf(fewer, both, 0.5) < 0.05).mean())


@pytest.mark.parametrize("n", [100, 500, 1319])
def test_the_difference_is_found_as_often_as_promised(n: int) -> None:
    difference = detectable_difference(n, DISCORDANT)
    assert difference is not None
    # the formula is for the test without exact p-values, which cost a few points of power
    assert 0.75 <= rejected(n, difference) <= 0.81
    assert rejected(n, difference / 2) < 0.3 < 0.95 < rejected(n, min(1.5 * difference, DISCORDANT))


def test_the_simulated_test_is_the_one_that_is_used() -> None:
    for wins, losses in ((9, 3), (12, 3), (3, 12), (5, 0), (6, 0)):
        assert (2 * binom.cdf(min(wins, losses), wins + losses, 0.5) < 0.05) == (mcnemar(wins, losses) < 0.05)


@pytest.mark.parametrize("n", [29, 60, 200, 1000, 100_000])
@pytest.mark.parametrize("discordant", [0.25, 0.5, 1.0])
def test_the_difference_solves_connors_formula(n: int, discordant: float) -> None:
    found = detectable_difference(n, discordant)
    assert found is not None and 0 < found <= discordant
    spread = norm.ppf(0.975) * math.sqrt(discordant) + norm.ppf(0.8) * math.sqrt(discordant - found**2)
    assert (spread / found) ** 2 == pytest.approx(n, rel=1e-6)


def test_a_test_that_shows_what_is_hoped_for() -> None:
    found = only(power(500, 0.1))
    assert (found.check, found.severity) == ("test-size", "info")
    assert found.what == "500 test questions can show a difference of 6.2 points or more between two models"
    assert found.cause == found.remedy == ""


def test_a_test_that_is_too_small() -> None:
    found = only(power(60, 0.1))
    assert (found.check, found.severity) == ("test-too-small", "warning")
    assert "17.7 points" in found.what and "limits.difference asks for 10.0" in found.what
    assert "limits.difference" in found.remedy


@pytest.mark.parametrize("n", [1, 5, 10])
def test_a_handful_of_questions_shows_nothing_however_much_is_hoped_for(n: int) -> None:
    for hoped in (0.05, 0.25, 0.5):
        found = only(power(n, hoped))
        assert found.severity == "warning" and f"{n} test questions are too few to show any difference" in found.what


def test_a_large_difference_needs_few_questions() -> None:
    assert only(power(40, 0.5)).check == "test-size"
