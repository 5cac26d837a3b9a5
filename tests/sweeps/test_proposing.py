"""Proposals: grids in order, Optuna's without repetition, the same for the same seed."""

from collections import Counter
from typing import Any

import pytest

from orchestrator.recipe.sweep import Sweep
from orchestrator.sweeps.proposing import importance, places, proposer, settings
from orchestrator.sweeps.variants import grid

SPACE: dict[str, Any] = {
    "parameters": {
        "a.rate": {"min": 1e-4, "max": 1e-1, "distribution": "log_uniform_values"},
        "a.epochs": {"min": 1, "max": 3},
        "a.share": {"min": 0.0, "max": 1.0, "distribution": "q_uniform", "q": 0.25},
        "a.kind": [None, "x", {"y": [1, 2]}],
    },
    "linked": [{"l.r": 8, "l.alpha": 16}, {"l.r": 32, "l.alpha": 64}],
}


def test_a_grid_has_every_combination_once_the_last_parameter_fastest() -> None:
    sweep = Sweep.model_validate(
        {"parameters": {"a": [1, 2], "b": ["x", "y"]}, "linked": [{"c": 1, "d": 1}, {"c": 2, "d": 2}]}
    )
    made = list(grid(sweep))
    assert [tuple(one.values()) for one in made[:3]] == [(1, "x", 1, 1), (1, "y", 1, 1), (2, "x", 1, 1)]
    assert len(made) == sweep.size == 8 and list(made[0]) == ["a", "b", "c", "d"]
    asked = proposer(sweep, 0)
    assert [asked.ask() for _ in range(9)] == [*made, None]
    begun = proposer(sweep, 0, {"a": 2, "b": "x", "c": 2, "d": 2})
    assert [begun.ask() for _ in range(9)] == [made[6], *made[:6], made[7], None], "the recipe's own values first"
    elsewhere = proposer(sweep, 0, {"a": 3, "b": "x", "c": 2, "d": 2})
    assert [elsewhere.ask() for _ in range(8)] == made


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_proposals_are_in_the_space_and_the_same_for_a_seed(method: str) -> None:
    sweep = Sweep.model_validate(SPACE | {"method": method, "run_cap": 40})

    def proposals(seed: int) -> list[dict[str, Any]]:
        source, made = proposer(sweep, seed), []
        for number in range(40):
            values = source.ask()
            assert values is not None
            made.append(values)
            source.tell(values, None if number % 7 == 3 else values["a.share"])
        return made

    made = proposals(0)
    assert made == proposals(0) and made != proposals(1)
    for values in made:
        assert 1e-4 <= values["a.rate"] <= 1e-1 and values["a.epochs"] in (1, 2, 3)
        assert values["a.share"] in (0, 0.25, 0.5, 0.75, 1.0)
        assert values["a.kind"] in SPACE["parameters"]["a.kind"]
        assert {"l.r": values["l.r"], "l.alpha": values["l.alpha"]} in SPACE["linked"]
        assert settings(sweep, places(sweep, values)) == values
    assert max(Counter(map(repr, made)).values()) == 1
    if method == "tpe":  # it learns: the best share is proposed more often toward the end
        assert sum(v["a.share"] >= 0.75 for v in made[-15:]) > sum(v["a.share"] >= 0.75 for v in made[:15])


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_no_combination_is_proposed_twice_and_a_space_ends(method: str) -> None:
    sweep = Sweep.model_validate({"method": method, "run_cap": 99, "parameters": {"a": [1, 2, 3], "b": [1, 2]}})
    source = proposer(sweep, 0)
    source.tell({"a": 1, "b": 1}, 0.5)  # from an earlier run
    source.tell({"a": 1, "b": 2}, None)
    made = []
    while (values := source.ask()) is not None:
        made.append(tuple(values.values()))
        source.tell(values, 0.1)
    assert sorted(made) == [(2, 1), (2, 2), (3, 1), (3, 2)]


def test_tpe_tries_all_that_a_space_has() -> None:
    sweep = Sweep.model_validate({"method": "tpe", "run_cap": 40, "parameters": {"a": list(range(40))}})
    source, made = proposer(sweep, 0), []
    while len(made) < 41 and (values := source.ask()) is not None:
        made.append(values["a"])
        source.tell(values, 0.1)
    assert sorted(made) == list(range(40))


def test_importance_finds_the_parameter_that_matters_and_is_silent_for_few_trials() -> None:
    sweep = Sweep.model_validate({"parameters": {"a": [1, 2, 3], "b": [1, 2, 3]}})
    found = {str(i): (values, 0.2 * values["a"] + 0.001 * values["b"]) for i, values in enumerate(grid(sweep))}
    shares = importance(sweep, found)
    assert shares["a"] > 0.9 and shares["b"] < 0.1
    assert importance(sweep, dict(list(found.items())[:3])) == {}
    assert importance(sweep, {name: (values, 0.5) for name, (values, _) in found.items()}) == {}
