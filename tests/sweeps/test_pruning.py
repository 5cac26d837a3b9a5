"""Which trials are ended early."""

import numpy as np

from orchestrator.recipe.sweep import Asha, Paired
from orchestrator.sweeps.pruning import new_measurements, pruner


def bits(share: float, n: int = 60, seed: int = 0) -> str:
    order = np.random.default_rng(seed).permutation(n)
    return "".join("1" if place < share * n else "0" for place in order)


def test_asha_lets_the_best_of_a_rung_pass() -> None:
    asha = pruner(Asha(type="asha", min_steps=10, eta=3))
    assert asha.worse(0, 5, 0.0, "") is None, "before the first rung"
    said = [asha.worse(trial, 10, accuracy, "") for trial, accuracy in enumerate((0.5, 0.6, 0.2, 0.1, 0.7, 0.3))]
    assert [why is None for why in said] == [True, True, False, False, True, False]
    assert said[2] == "accuracy 0.200 after 10 steps is not among the best 1/3 of those that got there"


def test_paired_ends_what_is_worse_on_the_same_questions_at_the_same_step() -> None:
    paired = pruner(Paired(type="paired", p=0.1, min_steps=20))
    assert paired.worse(0, 20, 0.8, bits(0.8)) is None, "there is nothing to compare it with"
    assert paired.worse(1, 10, 0.1, bits(0.1)) is None, "before min_steps"
    why = paired.worse(1, 20, 0.1, bits(0.1))
    assert why is not None and why.startswith("accuracy 0.100 after 20 steps is below the 0.800 of trial 0 there")
    assert paired.worse(2, 20, 0.75, bits(0.75)) is None, "a difference that may be chance"
    assert paired.worse(3, 20, 0.9, bits(0.9)) is None
    assert paired.worse(4, 30, 0.0, bits(0.0)) is None, "no other was measured there"
    assert paired.worse(5, 20, 0.0, bits(0.0, n=30)) is None, "other questions"


def test_the_best_to_compare_with_is_one_that_came_to_its_end() -> None:
    paired = pruner(Paired(type="paired"))
    paired.worse(0, 10, 0.3, bits(0.3))
    paired.worse(1, 10, 0.9, bits(0.9))
    paired.complete(0, 0.95)
    assert paired.worse(2, 10, 0.28, bits(0.28)) is None, "trial 0 was no better there, and has the best end"
    assert paired.worse(3, 10, 0.0, bits(0.0)) is not None


def test_a_measurement_is_taken_once_and_that_before_training_never() -> None:
    seen: set[int] = set()
    assert new_measurements({0: (0.1, "0"), 4: (0.5, "1")}, seen) == [(4, 0.5, "1")]
    assert new_measurements({0: (0.1, "0"), 4: (0.5, "1"), 8: (0.6, "1")}, seen) == [(8, 0.6, "1")]
