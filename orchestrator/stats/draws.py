"""Several draws per question: how often at least one of k is right, and how often the most frequent answer is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pass_at_k(correct: Sequence[int] | NDArray[np.integer], n: int, k: int) -> float:
    """pass@k: the probability that at least one of k draws is right, averaged over questions.

    Unbiased from n draws per question, of which `correct` (one number per question) are right:
    1 - C(n - c, k) / C(n, k), as a product, so that no large number arises (Chen et al. 2021, arXiv:2107.03374).

    Raises:
        ValueError: k is larger than n, or less than 1.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@k needs 1 <= k <= n, not k = {k} with n = {n} draws")
    counts = np.arange(n + 1)
    factors = 1 - k / np.maximum(np.arange(1, n + 1), k)  # 1 - k / i, for i from n - c + 1 to n
    missed = np.array([np.prod(factors[n - c :]) if n - c >= k else 0.0 for c in counts])
    return float(np.mean(1 - missed[np.asarray(correct)]))


def majority_at_k(values: NDArray[np.integer], right: NDArray[np.bool_]) -> float:
    """maj@k: the share of questions whose most frequent answer among k draws is right (Wang et al. 2023, ICLR).

    `values` is questions x k: equal numbers are equal answers, -1 is a draw without an answer; `right` marks the draws
    that are right. Equally frequent answers share the vote; a question without any answer counts as wrong.
    """
    return float(majority_shares(values, right).mean())


def majority_shares(values: NDArray[np.integer], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each question, the share of its most frequent answers that are right: maj@k is their mean."""
    rows = max(1, _AT_ONCE // values.shape[1] ** 2)
    parts = [_majority(values[i : i + rows], right[i : i + rows]) for i in range(0, len(values), rows)]
    return np.concatenate(parts)


_AT_ONCE = 10_000_000
"""Pairs of draws compared at a time; each takes a byte."""


def _majority(values: NDArray[np.integer], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`majority_shares` of few enough questions that all their pairs of draws fit into memory."""
    votes = (values[:, :, None] == values[:, None, :]).sum(axis=2) * (values >= 0)
    most = votes.max(axis=1, keepdims=True)
    # each draw of a leading answer counts 1 / (size of its group), so each group counts the same
    weights = np.where((votes == most) & (most > 0), 1 / np.maximum(votes, 1), 0.0)
    groups = np.maximum(weights.sum(axis=1), 1e-12)
    return np.asarray((weights * right).sum(axis=1) / groups, dtype=float)
