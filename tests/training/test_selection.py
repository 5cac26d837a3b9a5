"""Which checkpoint is chosen."""

import math
import random

import pytest

from orchestrator.training.selection import Point, choose, in_question
from orchestrator.training.settings import Selection


def points(losses: list[float], accuracies: list[float] | None = None) -> list[Point]:
    rows = zip(losses, accuracies or [0.0] * len(losses), strict=True)
    return [Point(10 * (place + 1), loss, accuracy) for place, (loss, accuracy) in enumerate(rows)]


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([1.0], 10),
        ([1.0, 0.5], 20),
        ([3.0, 1.0, 0.9, 0.85], 40),  # it falls fast, then slowly: the last is the best
        ([1.0, 0.8, 0.7, 0.65, 0.7, 0.8], 40),
        ([1.0, 0.8, 0.7, 0.65, 0.2], 40),  # the last one alone is far below
        ([1.0, 0.8, 0.7, 0.65, 0.2, 0.6], 60),  # and the next does not confirm it
        ([1.0, 0.8, 0.7, 0.65, 0.2, 0.22], 50),  # here the next does
        ([1.0, 1.0, 1.0, 1.0, 0.6], 10),  # a flat curve with a sudden drop at the end
        ([1.0, 1.0, 1.0, 0.99], 40),  # a drop of 1% is not sudden
        ([math.nan, 0.9, 0.8, math.inf], 30),
        ([0.9, 0.8, math.nan], 20),
        ([math.nan, math.nan], 20),  # nothing to go by: the last
        ([0.5, 0.5, 0.5], 10),
    ],
)
def test_the_lowest_loss_that_is_borne_out(losses: list[float], step: int) -> None:
    assert choose(points(losses), "best_loss").step == step


def test_the_highest_accuracy_and_the_earliest_of_several() -> None:
    found = choose(points([1, 2, 3, 4], [0.1, 0.5, 0.4, 0.5]), "best_accuracy")
    assert found.step == 20
    assert found.why == "accuracy 0.500 at step 20, the highest of 4 points, the earliest of 2 with that accuracy"
    assert choose(points([1, 2], [0.0, 0.0]), "best_accuracy").step == 10


def test_the_last() -> None:
    assert choose(points([1, 2, 3], [0.9, 0.1, 0.2]), "last").step == 30


def test_a_reason_names_what_was_passed_over() -> None:
    why = choose(points([1.0, 0.8, 0.7, 0.65, 0.2]), "best_loss").why
    assert why == "loss 0.650 at step 40, the lowest of 5 points; 0.200 at step 50 is ignored as an isolated dip"


@pytest.mark.parametrize("rule", ["best_accuracy", "best_loss", "last"])
def test_what_is_chosen_at_the_end_was_never_let_go(rule: Selection) -> None:
    rng = random.Random(0)
    for _ in range(500):
        n = rng.randint(1, 12)
        losses = [rng.choice([math.nan, rng.random(), rng.random() ** 4, 0.5]) for _ in range(n)]
        found = points(losses, [rng.randint(0, 4) / 4 for _ in range(n)])
        chosen = choose(found, rule).step
        kept: set[int] = set()
        for upto in range(1, n + 1):
            kept = {step for step in kept | {found[upto - 1].step} if step in in_question(found[:upto], rule)}
            assert len(kept) <= 4
        assert chosen in kept, losses
