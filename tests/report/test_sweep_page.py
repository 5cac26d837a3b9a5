"""A sweep's page and its sentences: what they state, hostile text stays text, odd trials are shown."""

import re
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.comparison import ModelDifference
from orchestrator.report.sweep_page import sweep_page
from orchestrator.results import SweepResult, TrialResult
from orchestrator.sweeps.words import Chosen, distinct, standing, value_text, verdict

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m'\"&{{ 7*7 }}\u202e"


def trial(number: int, value: float | None, tied: bool = False, **label: Any) -> TrialResult:
    ends = (None, None) if value is None else (value - 0.05, value + 0.05)
    state, error = ("complete", None) if value is not None else ("pruned", "too bad")
    difference = None if value is None or tied else -0.2
    p = None if difference is None else 0.001
    return TrialResult(number, label, state, value, *ends, tied, difference, p, 12.0, 0.0, "f" * 32, error)


def swept(*trials: TrialResult, **more: Any) -> SweepResult:
    best = max((t for t in trials if t.value is not None), key=lambda t: t.value or 0.0, default=None)
    facts: dict[str, Any] = {
        "run_id": "e" * 32,
        "experiment": "exp",
        "metric": {"name": "rft/accuracy", "goal": "maximize", "on": "validation"},
        "trials": trials,
        "best": None if best is None else {"number": best.number, "label": best.label, "recipe": None},
        "test": None,
        "stages": {"asked": 9, "distinct": 5, "run": 5, "reused": 0},
        "shared": {"sft": {"trials": 3, "made": 1}},
        "importance": {},
        "conclusions": ("All is well.",),
    }
    return SweepResult(**facts | more)


def test_the_page_has_the_trials_from_the_best_down_and_marks_what_became_of_them() -> None:
    page = sweep_page(
        swept(
            trial(0, 0.5, rate=1e-3, kind="a"),
            trial(1, 0.8, tied=True, rate=2e-3, kind="b"),
            trial(2, None, rate=1.0, kind=None),
            importance={"rate": 0.9, "kind": 0.1},
        ),
        "name: exp",
    )
    order = [int(found) for found in re.findall(r'<th scope="row" class="n">(\d+)</th>', page)]
    assert order == [1, 0, 2]
    assert "proposed" in page and "pruned: too bad" in page and "All is well." in page
    assert page.count("<polyline") == 2, "a line for each complete trial"
    assert page.count("<circle") == 4, "each of them in each slice"
    assert re.search(r"sft</th><td class=\"n\">3</td><td class=\"n\">1</td>", page), "run once for three trials"
    assert "hardly more than a guess" in page
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page


@pytest.mark.parametrize("rates", [[1e-4, 1e-3, 1e-1], [1.0], [0.0, 0.0], [-1, 5], ["x", 2], [True, False]])
def test_any_values_have_a_place(rates: list[Any]) -> None:
    page = sweep_page(swept(*(trial(n, 0.1 * n, rate=rate) for n, rate in enumerate(rates))), "")
    for x in re.findall(r'cx="([-\d.]+)"', page):
        assert 0 <= float(x) <= 220


def test_a_page_without_trials_can_be_read() -> None:
    assert "No trial was completed." in sweep_page(swept(conclusions=("No trial was completed.",)), "")
    assert "pruned" in sweep_page(swept(trial(0, None, rate=1)), "")


def test_hostile_text_is_text() -> None:
    one = trial(0, 0.5, **{HOSTILE: HOSTILE})
    page = sweep_page(swept(one, errors=(HOSTILE,), conclusions=(HOSTILE,), experiment=HOSTILE), HOSTILE)
    assert (
        "<img" not in page and "\x1b" not in page and "\u202e" not in page and "49" not in page.partition("</style>")[2]
    )


def difference(gap: float, p: float) -> ModelDifference:
    return ModelDifference(
        "proposed", "own", gap, gap - 0.03, gap + 0.03, p, p, 40, 20, 500, 0.05, gap - 0.03, gap + 0.03, None, None
    )


def test_a_gain_is_one_only_where_the_test_shows_it() -> None:
    def said(gap: float, p: float, count: int = 8, best: int = 3) -> list[str]:
        return verdict(difference(gap, p), Chosen(3, best, count, "validation"), "test", False)

    [better] = said(0.1, 0.001)
    assert better == (
        "Trial 3 is better than the recipe's own values: +10.0 points on test (95% interval 7.0 to 13.0, p = 0.001, "
        "n = 500). It was the best of 8."
    )
    [worse] = said(-0.1, 0.001)
    assert worse.startswith("No trial is better than the recipe's own values: trial 3 is worse, -10.0 points")
    assert worse.endswith("That it was the best of 8 on validation was luck.")
    none = said(0.02, 0.4)
    assert none[0].startswith("No trial is better") and "also the luckiest" in none[1]
    assert none[2] == "With 500 questions the smallest detectable difference is 5.0 points."
    assert len(said(0.02, 0.4, count=1)) == 2, "the best of one is not lucky"
    assert said(0.1, 0.001, best=5)[0].endswith("It was chosen from 8."), "a cheaper one is not the best"
    assert said(0.02, 0.4, best=5)[1].startswith("Trial 3 was chosen from 8 on validation")
    [own] = verdict(None, Chosen(3, 3, 8, "validation"), "test", True)
    assert own.endswith("trial 3, the best of 8 on validation, has the same values.")


def test_standing_says_what_the_data_do_not_tell_apart() -> None:
    trials = [trial(0, 0.8, tied=True), trial(1, 0.7, tied=True), trial(2, 0.2), trial(3, None)]
    text = " ".join(standing(trials, 0, 1))
    assert "3 trials are complete, 1 ended early or failed." in text
    assert "Trial 0 has the highest accuracy; 1 more is not significantly worse." in text
    assert "Trial 1 is proposed: the data cannot tell it from the best, and it costs less." in text
    alone = " ".join(standing([replace(trials[0]), trials[2]], 0, 0))
    assert "Trial 0 is the best; each of the others is significantly worse." in alone
    finalists = [replace(trials[0], seeds=3), replace(trials[1], seeds=3), trials[2], replace(trials[2], tied=True)]
    text = " ".join(standing(finalists, 0, 0))
    assert "4 trials are complete. 2 that were tied with the best were run with 3 seeds: the finalists." in text
    assert "Trial 0 has the highest accuracy; 1 more is not significantly worse." in text


def test_names_are_as_short_as_they_can_be() -> None:
    names = ["stages.rft.learning_rate", "stages.grpo.learning_rate", "stages.samples.n"]
    assert list(distinct(names).values()) == ["rft.learning_rate", "grpo.learning_rate", "n"]
    assert distinct(["a"]) == {"a": "a"}
    assert [value_text(v) for v in (1.23456e-5, 0.5, 3, "x", None, True)] == [
        "1.235e-05",
        "0.5",
        "3",
        "x",
        "None",
        "True",
    ]
