"""Which trials are ended early."""

import numpy as np

from orchestrator.recipe.sweep import Asha, Paired
from orchestrator.sweeps.pruning import Point, new_points, pruner


def point(step: int, accuracy: float, steps: int = 100, n: int = 60) -> Point:
    order = np.random.default_rng(0).permutation(n)
    right = "".join("1" if place < accuracy * n else "0" for place in order)
    return Point(step, steps, accuracy, right)


def test_asha_lets_the_best_of_a_rung_pass() -> None:
    asha = pruner(Asha(type="asha", min_steps=10, eta=3))
    assert asha.worse(0, point(5, 0.0)) is None, "before the first rung"
    said = [asha.worse(trial, point(10, reached)) for trial, reached in enumerate((0.5, 0.6, 0.2, 0.1, 0.7, 0.3))]
    assert [why is None for why in said] == [True, True, False, False, True, False]
    assert said[2] == "accuracy 0.200 after 10 steps is not among the best 1/3 of those that got there"


def test_paired_ends_what_is_worse_on_the_same_questions() -> None:
    paired = pruner(Paired(type="paired", p=0.1, min_steps=20))
    assert paired.worse(0, point(20, 0.8)) is None, "there is nothing to compare it with"
    assert paired.worse(1, point(10, 0.1)) is None, "before min_steps"
    assert paired.worse(1, point(20, 0.1)) == (
        "accuracy 0.100 after 20 of 100 steps is below the 0.800 of trial 0 after 20 of 100 (paired test, one-sided "
        "p = 0.000)"
    )
    assert paired.worse(2, point(20, 0.75)) is None, "a difference that may be chance"
    assert paired.worse(3, point(20, 0.9)) is None
    assert paired.worse(4, point(30, 0.0)) is not None, "others did better with less training"
    assert paired.worse(5, point(20, 0.0, n=30)) is None, "on other questions"


def test_trainings_of_different_length_are_compared_by_how_much_of_them_is_done() -> None:
    paired = pruner(Paired(type="paired"))
    for step, reached in ((10, 0.0), (20, 0.4), (30, 0.8)):
        paired.worse(0, point(step, reached, steps=30))
    paired.complete(0, 0.8)
    assert paired.worse(1, point(20, 0.05, steps=90)) is None, "a fifth of it, where trial 0 has no measurement"
    assert paired.worse(1, point(30, 0.05, steps=90)) is None, "a third of it, after which trial 0 had learnt nothing"
    why = paired.worse(1, point(60, 0.05, steps=90))
    assert why is not None and "is below the 0.400 of trial 0 after 20 of 30" in why


def test_the_best_to_compare_with_is_one_that_came_to_its_end() -> None:
    paired = pruner(Paired(type="paired"))
    paired.worse(0, point(10, 0.3))
    paired.worse(1, point(10, 0.9))
    paired.complete(0, 0.95)
    assert paired.worse(2, point(10, 0.28)) is None, "trial 0 was no better there, and ended best"
    assert paired.worse(3, point(10, 0.0)) is not None


def test_a_measurement_is_taken_once_and_that_before_training_never() -> None:
    seen: set[int] = set()
    assert new_points({0: (0.1, "0"), 4: (0.5, "1")}, 9, seen) == [Point(4, 9, 0.5, "1")]
    assert new_points({0: (0.1, "0"), 4: (0.5, "1"), 8: (0.6, "1")}, 9, seen) == [Point(8, 9, 0.6, "1")]
