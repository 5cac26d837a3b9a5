"""pass@k and maj@k against counting all subsets, and against the published estimator."""

from itertools import combinations

import numpy as np
import pytest

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
    # rows: a clear majority that is right; one that is wrong; a tie of two; no answer at all; silence does not vote
    values = np.array([[1, 1, 2, 3], [5, 5, 5, 6], [7, 7, 8, 8], [-1, -1, -1, -1], [-1, -1, -1, 4]])
    right = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    for row, expected in enumerate((1.0, 0.0, 0.5, 0.0, 1.0)):
        assert majority_at_k(values[row : row + 1], right[row : row + 1]) == expected
    assert majority_at_k(values, right) == pytest.approx(2.5 / 5)
