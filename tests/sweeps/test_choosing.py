"""Trials side by side: the best, those tied with it, the cheapest of these."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.comparison import Evaluated
from orchestrator.sweeps.choosing import standings


def evaluated(folder: Path, number: int, right: np.ndarray) -> Evaluated:
    n = len(right)
    table = {
        "example_id": [f"q{i}" for i in range(n)],
        "question": [f"q{i}" for i in range(n)],
        "gold": ["1"] * n,
        "status": ["correct" if r else "wrong" for r in right],
        "n_tokens": [5] * n,
    }
    file = folder / f"{number}.parquet"
    pq.write_table(pa.table(table), file)
    return Evaluated(str(number), "m", (0,), (f"r{number}",), (file,))


def test_tied_are_those_that_a_paired_test_does_not_tell_from_the_best(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    skill = rng.random(300)
    right = [skill < 0.8, (skill < 0.8) ^ (rng.random(300) < 0.02), skill < 0.5]
    found = standings("validation", {n: evaluated(tmp_path, n, r) for n, r in enumerate(right)}, {0: 9.0, 1: 1.0, 2: 1})
    best = max(range(3), key=lambda n: right[n].mean())
    assert found.best == best and found.tied == {0, 1}
    assert found.taken == 1, "the cheapest of the tied, not the cheapest of all"
    assert found.differences[2].difference < -0.2 and found.differences[2].shown


def test_the_best_is_taken_unless_a_tied_one_is_clearly_cheaper(tmp_path: Path) -> None:
    right = {0: 79, 1: 80, 2: 78}
    made = {n: evaluated(tmp_path, n, np.arange(100) < count) for n, count in right.items()}
    assert standings("validation", made, {0: 7.0, 1: 10.0, 2: 7.0}).taken == 1, "times never agree exactly"
    assert standings("validation", made, {0: 6.0, 1: 10.0, 2: 9.0}).taken == 0
    assert standings("validation", made, {0: 6.0, 1: 10.0, 2: 5.7}).taken == 0, "equally cheap, and more accurate"
    assert standings("validation", made, {0: 6.0, 1: 10.0, 2: 3.0}).taken == 2
    assert standings("validation", made, {0: 0.0, 1: 0.0, 2: 0.0}).taken == 1
    assert standings("validation", {4: made[1]}, {4: 0.0}).taken == 4


def test_of_equal_trials_the_first_is_the_best(tmp_path: Path) -> None:
    right = np.arange(50) < 20
    found = standings(
        "validation", {n: evaluated(tmp_path, n, right) for n in (3, 1, 2)}, dict.fromkeys((1, 2, 3), 1.0)
    )
    assert found.best == found.taken == 1 and found.tied == {1, 2, 3}
