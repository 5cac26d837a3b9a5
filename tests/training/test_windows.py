"""The points of a training's curves, computed from its steps: the same as a trainer would log by itself."""

import math

import pytest

from orchestrator.training.windows import Windows, every


def test_a_point_is_the_mean_of_its_steps() -> None:
    windows = Windows()
    for step in range(1, 4):
        windows.add({"loss": float(step), "grad_norm": 10.0 * step, "learning_rate": 1e-3 * step, "epoch": step / 4})
    assert windows.point() == {"loss": 2.0, "grad_norm": 30.0, "learning_rate": 3e-3, "epoch": 0.75}
    windows.add({"loss": 7.0})
    assert windows.point() == {"loss": 7.0}, "the next window starts empty"
    assert windows.point() == {}


def test_a_value_that_only_some_steps_have_is_their_mean() -> None:
    windows = Windows()
    windows.add({"loss": 1.0, "reward": 0.5})
    windows.add({"loss": 3.0})
    windows.add({"loss": math.nan, "reward": 1.0})
    assert windows.point() == {"loss": 2.0, "reward": 0.75}


@pytest.mark.parametrize(
    ("asked", "total", "due"),
    [(5, 40, 5), (5, 90, 5), (5, 39, 1), (5, 12, 1), (1000, 12, 1), (1, 3, 1), (500, 1000, 50), (100, 1000, 100)],
)
def test_a_short_training_has_a_curve_all_the_same(asked: int, total: int, due: int) -> None:
    assert every(asked, total) == due
