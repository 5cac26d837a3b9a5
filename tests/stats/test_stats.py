"""Intervals and tests against published values and calculations by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from orchestrator.stats import (
    detectable_beside,
    detectable_difference,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    rate_difference,
    rate_parts,
    wilson,
)
from orchestrator.stats.proportion import effective_number, wilson_of

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


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (250, 500), (1319, 1319)])
def test_wilson_as_statsmodels_has_it(successes: int, n: int) -> None:
    assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-12)
    assert wilson_of(successes / n, n, Z) == pytest.approx(wilson(successes, n), abs=1e-12)


def test_an_interval_holds_its_share_to_the_last_digit() -> None:
    for n in range(1, 2000):
        assert wilson_of(0.0, n, Z)[0] == 0.0 and wilson_of(1.0, n, Z)[1] == 1.0


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 1), (106, 19), (20, 21)])
def test_mcnemar_as_statsmodels_has_it(wins: int, losses: int) -> None:
    assert mcnemar(wins, losses) == pytest.approx(other_mcnemar([[300, wins], [losses, 40]], exact=True).pvalue)


def test_a_paired_difference_as_published() -> None:
    # approval of a prime minister, asked twice of 1,600 people: Agresti 2002, Categorical Data Analysis, table 10.1
    difference, low, high = paired_difference(86, 150, 1600)
    assert difference == pytest.approx(-0.04)
    assert (round(low, 2), round(high, 2)) == (-0.06, -0.02)


# --- several tests


def test_holm_by_hand_and_as_statsmodels_has_it() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.7, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 9):  # few, since theirs collects garbage each time: a second in a process as large as this
        p = rng.random(n) ** 4
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


# --- the bootstrap


def pairs(rng: np.random.Generator, n: int, shift: float, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Pass rates of two models on n questions, each a multiple of 1 / kinds."""
    ours, theirs = rng.random(n), rng.random(n)
    return np.round((0.5 * ours + 0.5 * theirs + shift) * kinds) / kinds, np.round(theirs * kinds) / kinds


@pytest.mark.parametrize("kinds", [1, 8, 100_000])
def test_the_bootstrap_as_scipy_has_it(kinds: int) -> None:
    ours, theirs = pairs(np.random.default_rng(1), 200, 0.05, kinds)
    found = paired_bootstrap(ours, theirs)
    other = scipy_bootstrap((ours - theirs,), np.mean, n_resamples=10_000, method="percentile", rng=2)
    assert found.difference == pytest.approx(float(np.mean(ours - theirs)))
    step = float(np.std(ours - theirs)) / math.sqrt(200)
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.1 * step)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.1 * step)


def test_a_bootstrap_that_counts_is_the_one_that_draws() -> None:
    ours, theirs = pairs(np.random.default_rng(3), 300, 0.02, 4)
    few = paired_bootstrap(ours, theirs, seed=1)
    many = paired_bootstrap(ours + np.linspace(0, 1e-9, 300), theirs, seed=2)
    assert len(np.unique(ours - theirs)) < 128 < len(np.unique(ours + np.linspace(0, 1e-9, 300) - theirs))
    assert (few.low, few.high) == pytest.approx((many.low, many.high), abs=0.003)
    assert few.p == pytest.approx(many.p, abs=0.03)


def test_the_bootstrap_tells_chance_from_difference() -> None:
    rng = np.random.default_rng(4)
    theirs = rng.random(400) < 0.5
    assert paired_bootstrap(theirs, theirs).p == 1.0
    assert paired_bootstrap(theirs | (rng.random(400) < 0.1), theirs).p < 0.001
    with pytest.raises(ValueError, match="the same questions"):
        paired_bootstrap([], [])


# --- detectable differences


def test_what_can_be_shown_beside_what_was_seen() -> None:
    assert detectable_beside(500, 125) == detectable_difference(500, 0.25)
    few = detectable_beside(500, 1)
    assert few is not None and detectable_difference(500, 1 / 500) is None
    # if all differing questions go one way: (1.96 sqrt d + 0.84 sqrt(d - d^2))^2 = 500 d^2
    assert (1.959964 * math.sqrt(few) + 0.841621 * math.sqrt(few - few**2)) ** 2 == pytest.approx(
        500 * few**2, rel=1e-5
    )
    assert detectable_beside(3, 0) is None


# --- the parts of a difference


def test_parts_of_a_difference_add_up_and_do_not_favour_a_side() -> None:
    parts = rate_parts(0.9, 0.72, 0.5, 0.3)  # of the answered questions, 0.8 and 0.6 are right
    assert parts == pytest.approx((0.4 * 0.7, 0.2 * 0.7))
    assert sum(parts or ()) == pytest.approx(0.42)
    assert rate_parts(0.5, 0.3, 0.9, 0.72) == pytest.approx((-0.28, -0.14))
    assert rate_parts(0.9, 0.5, 0.9, 0.4) == pytest.approx((0.0, 0.1)), "equal answer rates: none of it is answering"
    assert rate_parts(0.9, 0.5, 0.0, 0.0) is None


# --- several answers to each question


def answered(rng: np.random.Generator, questions: int, each: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two models' shares of right answers; some questions are hard for both."""
    hard = rng.beta(0.6, 0.6, questions)
    better = np.clip(hard + gain, 0, 1)
    return rng.binomial(each, better) / each, rng.binomial(each, hard) / each


def test_a_difference_of_rates_is_scipys_paired_t_test() -> None:
    ours, theirs = answered(np.random.default_rng(0), 200, 8, 0.05)
    found, wanted = rate_difference(ours, theirs), ttest_rel(ours, theirs)
    interval = wanted.confidence_interval(0.95)
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(float((ours - theirs).mean()))
    assert rate_difference(theirs, ours).p == found.p and rate_difference(theirs, ours).low == -found.high


def test_rates_that_are_all_the_same_show_nothing() -> None:
    same = np.full(50, 0.5)
    found = rate_difference(same, same)
    assert found.difference == 0 and found.p == 1 and found.low < 0 < found.high


def test_the_test_of_rates_keeps_its_level_and_its_interval_its_coverage() -> None:
    rng = np.random.default_rng(1)
    false = sum(rate_difference(*answered(rng, 100, 4)).p < 0.05 for _ in range(1000))
    assert 30 <= false <= 70
    covered = 0
    for _ in range(500):
        hard = rng.beta(0.6, 0.6, 100)
        ours, theirs = rng.binomial(4, hard) / 4, rng.binomial(4, np.clip(hard + 0.1, 0, 1)) / 4
        found = rate_difference(theirs, ours)
        covered += found.low <= float((np.clip(hard + 0.1, 0, 1) - hard).mean()) <= found.high
    assert covered >= 460


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(2)
    base = np.clip(rng.normal(0.5, 0.1, (2000, 150)), 0, 1)
    pairs = [*zip(base[:1000], base[1000:], strict=True)]
    seen = [rate_difference(a, b) for a, b in pairs]
    least = float(np.mean([one.detectable for one in seen if one.detectable is not None]))
    found = [rate_difference(np.clip(a + least, 0, 1), b).p < 0.05 for a, b in pairs]
    assert 0.76 <= np.mean(found) <= 0.84


@pytest.mark.parametrize("each", [1, 4, 16])
def test_an_interval_over_several_answers_holds_the_accuracy(each: int) -> None:
    rng, questions, held = np.random.default_rng(each), 120, 0
    for _ in range(1000):
        rates = rng.binomial(each, rng.beta(0.5, 1.0, questions)) / each
        low, high = wilson_of(float(rates.mean()), effective_number(rates, each * questions), 1.959964)
        held += low <= 1 / 3 <= high
    assert 0.93 <= held / 1000 <= 0.975
    assert effective_number(rates, each * questions) <= each * questions


def test_answers_count_at_most_as_many_as_they_are_and_at_least_as_their_questions_where_nothing_varies() -> None:
    assert effective_number(np.ones(30), 240) == 30
    assert effective_number(np.full(30, 0.5), 240) == 240
    binary = np.array([0.0, 1.0] * 50)
    assert effective_number(binary, 100) == pytest.approx(99)
