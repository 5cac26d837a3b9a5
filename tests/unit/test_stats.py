"""Intervals and tests against published values and sums done by hand."""

import math
from fractions import Fraction

import pytest

from orchestrator.stats import mcnemar, paired_difference, wilson

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (1, 2), (7, 10), (250, 500), (499, 500)])
def test_wilson_by_its_formula(successes: int, n: int) -> None:
    p = successes / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    assert wilson(successes, n) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-12)


def test_wilson_narrows_with_less_confidence() -> None:
    low, high = wilson(7, 10, confidence=0.5)
    assert wilson(7, 10)[0] < low < 0.7 < high < wilson(7, 10)[1]


@pytest.mark.parametrize(
    ("wins", "losses"), [(1, 0), (0, 1), (5, 0), (8, 2), (2, 8), (5, 5), (6, 5), (59, 6), (40, 60)]
)
def test_mcnemar_is_the_binomial_tail_on_both_sides(wins: int, losses: int) -> None:
    n = wins + losses
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(max(wins, losses), n + 1))
    assert mcnemar(wins, losses) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-9)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(8, 2) == pytest.approx(2 * (45 + 10 + 1) / 1024)


def test_paired_difference_by_hand() -> None:
    # 10 wins and 4 losses on 100 questions: (10.5 - 4.5) / 102, variance (15 - 36 / 102) / 102^2
    difference, low, high = paired_difference(10, 4, 100)
    assert difference == pytest.approx(0.06)
    half = Z * math.sqrt(15 - 36 / 102) / 102
    assert (low, high) == pytest.approx((6 / 102 - half, 6 / 102 + half))


def test_paired_difference_is_antisymmetric_and_stays_in_bounds() -> None:
    difference, low, high = paired_difference(9, 2, 50)
    assert paired_difference(2, 9, 50) == pytest.approx((-difference, -high, -low))
    assert paired_difference(0, 0, 50)[0] == 0 and paired_difference(0, 0, 50)[1] < 0 < paired_difference(0, 0, 50)[2]
    low = 1 / 3 - Z * math.sqrt(2 - 1 / 3) / 3
    assert paired_difference(1, 0, 1) == pytest.approx((1.0, low, 1.0))
    assert paired_difference(9, 2, 50, confidence=0.5)[1] > paired_difference(9, 2, 50)[1]
