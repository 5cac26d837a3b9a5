"""A judge is tested on answers that it must refuse; a task's own verdict that fails is named with its line."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.health.contract import contract
from orchestrator.health.refusals import letters, refusals
from orchestrator.health.written import Written, written_findings
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling.strict_judge import too_strict
from orchestrator.tasks import Task
from orchestrator.types import Finding, Status

RECIPE = """\
name: test
task: {type: file, train: {file: train.jsonl}, test: {file: train.jsonl}}
model: {name: tiny}
stages: {grpo: {type: grpo, model: base}}
"""
OWN = """\
import os, sys, time
from orchestrator import Task
from orchestrator.answers.judges import ExactJudge, Judge
from orchestrator.types import Verdict

class Mine(Task):
    judge: Judge = ExactJudge()

    def verdict(self, text, answer, finish_reason):
        found = self.format.extract(text)
        BODY
"""


def task(golds: list[Any], *settings: str, body: str | None = None) -> Task:
    rows = [{"question": f"What is question {n}?", "answer": gold} for n, gold in enumerate(golds)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("r.yaml").write_text(RECIPE)
    if body is not None:
        Path("mine.py").write_text(OWN.replace("BODY", body))
        settings = ("task.type=mine.py:Mine", *settings)
    return load_recipe("r.yaml", settings).task


def found(made: Task) -> list[Finding]:
    return [finding for finding in refusals(made) if finding.check == "wrong-answer-accepted"]


KINDS = {
    "an empty text": "empty",
    "the gold answer of another row": "other",
    "the question itself": "question",
    "all gold answers in one text": "all",
}


def kinds(findings: list[Finding]) -> list[str]:
    return [short for finding in findings for told, short in KINDS.items() if told in finding.what]


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ("return Verdict('correct', found)", ["empty", "other", "question", "all"]),
        ("return Verdict('correct' if found else 'unparsed', found)", ["other", "all"]),
        ("return Verdict('correct' if answer in text else 'wrong', found)", ["all"]),
        ("return Verdict('wrong' if found else 'correct', found)", ["empty", "question"]),
        ("return Verdict('correct' if 'What' in text else 'wrong', found)", ["question"]),
        ("return Verdict('correct' if found == answer else 'wrong', found)", []),
        ("return self.judge.judge(found, answer, finish_reason)", []),
    ],
)
def test_an_own_verdict_that_accepts_wrong_answers(body: str, accepted: list[str]) -> None:
    findings = found(task(["red", "green", "blue", "olive", "black"], body=body))
    assert kinds(findings) == accepted and {f.severity for f in findings} <= {"error"}
    assert all("fix Mine.verdict" in f.remedy and "Mine's own verdict" in f.cause for f in findings)


@pytest.mark.parametrize(
    ("golds", "settings", "accepted"),
    [
        ([100, 101, 102, 103, 104], ["task.judge.tolerance=0.5"], ["other", "all"]),
        ([100, 101, 102, 103, 104], [], []),
        ([1, 20, 400, 8000, 90000], ["task.judge.tolerance=0.05"], []),
        (["x", "x + 1", "2*x", "x**2"], ["task.judge.type=math"], []),
        (["A", "B", "C", "D"], ["task.judge.type=choice"], []),
        (["( )", ") )", "] )"], ["task.judge={type: sequence, by: character}"], []),
        (["yes", "no", "yes", "no"], ["task.judge.type=exact"], []),
        (["a", "b", "c"], ["task.judge.type=exact", "task.format.type=boxed"], []),
        ([7, 8, 9], ["task.format.type=last_number"], []),
    ],
)
def test_a_judge_of_orchs_own(golds: list[Any], settings: list[str], accepted: list[str]) -> None:
    findings = found(task(golds, *settings))
    assert kinds(findings) == accepted and {f.severity for f in findings} <= {"warning"}


@pytest.mark.parametrize(
    ("body", "why", "status"),
    [
        ("return found == answer", "verdict returns True, a bool, not a Verdict (mine.py:9)", "error"),
        ("raise KeyError('gold')", "KeyError: 'gold' (mine.py:11)", "error"),
        ("sys.exit(0)", "SystemExit: 0 (mine.py:11)", "error"),
        ("os._exit(0)", "os._exit(0) (mine.py:11)", "error"),
        ("time.sleep(60)", "it took longer than 1 s", "error"),
        ("print('here'); return Verdict('correct', found)", "it prints 'here' (mine.py:11)", "warning"),
    ],
)
def test_an_own_verdict_that_fails_is_named_in_seconds(body: str, why: str, status: str) -> None:
    made = task([str(n) for n in range(500)], "task.judge_limits.timeout_s=1", body=body)
    before = time.monotonic()
    [finding] = [f for f in contract(made) if f.check == "verdict-fails"]
    assert (finding.severity, why in finding.what) == (status, True), finding.what
    assert time.monotonic() - before < 60


def test_letters_are_for_the_judge_of_choices() -> None:
    [finding] = letters(task(["A", "B", "(C)"], "task.judge.type=exact"))
    assert (finding.check, finding.severity) == ("choice-judge", "warning") and "{type: choice}" in finding.remedy
    assert list(letters(task(["A", "B", "C"], "task.judge.type=choice"))) == []
    assert list(letters(task(["A", "B", "Paris"], "task.judge.type=exact"))) == []
    assert list(letters(task(["A", "A"], "task.judge.type=exact"))) == []
    with pytest.raises(Exception, match=r"option letters: set task\.judge: \{type: choice\}"):
        task(["A", "B"]).check()


@pytest.mark.parametrize(
    ("golds", "what"),
    [
        (["A.", "B.", "C.", "D."] * 7 + ["A.", "none"], "58 of 60 gold answers are labels of options"),
        (["i", "ii", "iii", "iv"] * 5, "all gold answers are labels of options"),
        (["(a)", "(b)"] * 4, "all gold answers are labels of options"),
    ],
)
def test_labels_of_options(golds: list[str], what: str) -> None:
    [finding] = letters(task(golds, "task.judge.type=exact"))
    assert finding.what.startswith(what) and ("none" in finding.remedy) == ("none" in golds)


@pytest.mark.parametrize("golds", [["0", "1", "2", "3"], ["A", "B", "none"] * 3, ["A", "A."], ["yes", "no"], ["12 m"]])
def test_golds_that_are_no_labels_of_options(golds: list[str]) -> None:
    assert list(letters(task(golds, "task.judge.type=exact"))) == []


def rows(pairs: list[tuple[str, str, Status]]) -> list[Written]:
    return [Written(str(n), "q?", gold, value, value, status, "stop") for n, (value, gold, status) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("value", "gold", "severity"),
    [
        ("(E) 12 m", "E", "error"),
        ("$1,234.00", "1234", "error"),
        ("The city of Paris.", "Paris", "error"),
        ("Lyon", "Paris", "warning"),
    ],
)
def test_exact_that_takes_nothing_is_the_likely_cause(value: str, gold: str, severity: str) -> None:
    written = rows([(value, gold, "wrong")] * 100 + [(gold, gold, "correct")])
    [finding] = written_findings("rft", written, True, "exact")
    assert (finding.check, finding.severity) == ("judge-too-strict", severity)
    assert finding.cause.startswith("the judge") and finding.evidence.count(f"parsed {value!r}, expected {gold!r}") == 3


def test_exact_that_takes_some_is_not() -> None:
    pairs: list[tuple[str, str, Status]] = [("(E)", "E", "wrong")] * 90 + [("E", "E", "correct")] * 10
    assert too_strict("rft", "exact", [(v, g, s) for v, g, s in pairs]) is None
    assert too_strict("rft", "numeric", [("(E)", "E", "wrong")] * 10) is None
    assert too_strict("rft", "exact", [("", "E", "unparsed")] * 10) is None
