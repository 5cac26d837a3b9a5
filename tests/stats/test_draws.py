"""pass@k and maj@k against counting all subsets, and against the published estimator."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestrator.sampling.draws import Draws
from orchestrator.sampling.same_draws import Groups
from orchestrator.stats import majority_at_k, pass_at_k


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_draw(k: int) -> None:
    n = 6
    for correct in range(n + 1):
        draws = [1] * correct + [0] * (n - correct)
        subsets = [any(chosen) for chosen in combinations(draws, k)]
        assert pass_at_k([correct], n, k) == pytest.approx(sum(subsets) / len(subsets))


def test_pass_at_k_as_published() -> None:
    def published(n: int, c: int, k: int) -> float:  # Chen et al. 2021, figure 3
        return 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))

    rng = np.random.default_rng(0)
    correct = rng.integers(0, 201, 300)
    for k in (1, 10, 100, 200):
        assert pass_at_k(correct, 200, k) == pytest.approx(np.mean([published(200, c, k) for c in correct]))


def test_pass_at_1_is_the_pass_rate_and_no_other_k_makes_sense() -> None:
    assert pass_at_k([0, 2, 4], 4, 1) == pytest.approx(0.5)
    for k in (0, 5):
        with pytest.raises(ValueError, match="1 <= k <= n"):
            pass_at_k([1], 4, k)


def test_maj_at_k_by_hand() -> None:
    # rows: a clear majority, right; one, wrong; a tie of two; no answer at all; missing answers, which do not vote
    values = np.array([[1, 1, 2, 3], [5, 5, 5, 6], [7, 7, 8, 8], [-1, -1, -1, -1], [-1, -1, -1, 4]])
    right = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    for row, expected in enumerate((1.0, 0.0, 0.5, 0.0, 1.0)):
        assert majority_at_k(values[row : row + 1], right[row : row + 1]) == expected
    assert majority_at_k(values, right) == pytest.approx(2.5 / 5)
    many = 200_000  # more than are processed at once
    assert majority_at_k(np.tile(values, (many, 1)), np.tile(right, (many, 1))) == pytest.approx(2.5 / 5)


def test_the_metrics_of_a_sampling() -> None:
    drawn = {  # question -> (status, parsed value) of each draw
        "b": [("correct", "5"), ("wrong", "4"), ("correct", "5"), ("unparsed", None), ("wrong", "4")],
        "a": [("wrong", "1"), ("wrong", "2"), ("wrong", "1"), ("correct", "3"), ("unparsed", None)],
    }
    rows = [(q, *draws[i]) for i in range(5) for q, draws in drawn.items()]  # in whatever order the shards come
    ids, status, value = zip(*rows, strict=True)
    table = pa.table({"example_id": ids, "status": status, "value": value, "text": value})
    counted = Draws(5)
    counted.add(table)
    assert counted.metrics() == pytest.approx(
        {
            "coverage": 1.0,
            "pass_at_1": 0.3,
            "pass_at_2": (1 - 3 / 10 + 4 / 10) / 2,
            "pass_at_4": (1 + 4 / 5) / 2,
            "pass_at_5": 1.0,
        }
        | {"maj_at_5": 0.25}
    )
    in_pieces = Draws(5)
    for question in drawn:
        in_pieces.add(table.filter(pc.equal(table["example_id"], question)))
    assert in_pieces.metrics() == counted.metrics() and in_pieces.groups() == counted.groups()
    one = Draws(1)
    one.add(pa.table({"example_id": ["a"], "status": ["wrong"], "value": ["1"], "text": ["x"]}))
    assert one.metrics() == {"coverage": 0.0, "pass_at_1": 0.0}


def test_questions_whose_draws_are_all_the_same_text() -> None:
    counted = Draws(2)
    for question, texts in (("a", "xx"), ("b", "xy"), ("c", "yy")):
        rows = {"example_id": [question] * 2, "status": ["wrong"] * 2, "value": [None, "1"], "text": list(texts)}
        counted.add(pa.table(rows))
    assert counted.groups() == Groups(questions=3, identical=2, draws=2, first="x")
