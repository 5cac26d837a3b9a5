"""Seeds crossed with questions: checked against Welch's and Crawford and Howell's tests, and by simulation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t, ttest_ind

from orchestrator.stats import paired_difference, seed_difference, seed_mean, wilson

Right = NDArray[np.bool_]


def models(rng: np.random.Generator, seeds: int, hard: NDArray[np.float64], level: float, sd: float) -> Right:
    """Seeds x questions: a seed's level is random, a question is equally hard for all, and each answer is random."""
    chance = norm.cdf(level + sd * rng.standard_normal((seeds, 1)) - hard[None, :])
    return np.asarray(rng.random(chance.shape) < chance)


def flat(accuracies: list[float], n: int) -> Right:
    """Seeds with exactly these accuracies, right on questions independent of each other."""
    rng = np.random.default_rng(0)
    return np.array([rng.permutation(np.arange(n) < round(a * n)) for a in accuracies])


def test_seeds_that_differ_by_more_than_questions_do_are_welchs_test() -> None:
    ours, theirs = flat([0.7, 0.5, 0.62], 4000), flat([0.4, 0.52, 0.45], 4000)
    found = seed_difference(ours, theirs)
    welch = ttest_ind(ours.mean(axis=1), theirs.mean(axis=1), equal_var=False)
    assert found.difference == pytest.approx(float(ours.mean() - theirs.mean()))
    assert found.p == pytest.approx(welch.pvalue, rel=0.02)
    assert found.df == pytest.approx(welch.df, rel=0.05)
    low, high = welch.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_one_model_against_several_seeds_is_crawford_and_howells_test() -> None:
    ours, theirs = flat([0.75], 100_000), flat([0.4, 0.52, 0.45, 0.5], 100_000)
    others = theirs.mean(axis=1)
    statistic = (0.75 - others.mean()) / (others.std(ddof=1) * math.sqrt(1 + 1 / 4))
    assert seed_difference(ours, theirs).p == pytest.approx(2 * t.sf(statistic, 3), rel=0.02)


def test_a_model_that_no_seed_changes_has_no_seed_part() -> None:
    ours, theirs = flat([0.75], 100_000), flat([0.4, 0.52, 0.45, 0.5], 100_000)
    others = theirs.mean(axis=1)
    statistic = (0.75 - others.mean()) / (others.std(ddof=1) / math.sqrt(4))
    assert seed_difference(ours, theirs, fixed=True).p == pytest.approx(2 * t.sf(statistic, 3), rel=0.02)


def test_seeds_that_are_all_the_same_leave_the_paired_difference() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(500) < 0.7, rng.random(500) < 0.6
    found = seed_difference(np.tile(a, (3, 1)), np.tile(b, (3, 1)))
    single = paired_difference(int((a & ~b).sum()), int((b & ~a).sum()), 500)
    assert math.isinf(found.df)
    assert (found.difference, found.low, found.high) == pytest.approx(single, abs=0.001)


def test_nothing_differs_and_still_there_is_an_interval() -> None:
    right = np.ones((3, 50), dtype=bool)
    found = seed_difference(right, right)
    assert found.p == 1.0 and found.low < 0 < found.high
    assert (found.low, found.high) == pytest.approx((-norm.ppf(0.975) / 52, norm.ppf(0.975) / 52))


def test_the_mean_of_seeds_that_are_all_the_same_is_wilsons() -> None:
    right = np.tile(np.arange(100) < 30, (3, 1))
    found = seed_mean(right)
    assert found.sd == 0
    assert (found.mean, found.low, found.high) == pytest.approx((0.3, *wilson(30, 100)), abs=0.001)
    all_right = seed_mean(np.ones((3, 100), dtype=bool))
    assert (all_right.mean, all_right.low, all_right.high) == pytest.approx((1.0, *wilson(100, 100)))


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.4])
def test_the_interval_of_a_mean_holds_for_further_seeds_and_questions(sd: float) -> None:
    rng, inside = np.random.default_rng(5), 0
    truth = norm.cdf(0.3 / math.sqrt(2 + sd**2))
    for _ in range(400):
        found = seed_mean(models(rng, 3, rng.standard_normal(200), 0.3, sd))
        inside += found.low <= truth <= found.high
    assert inside / 400 >= 0.93


@pytest.mark.parametrize(("seeds", "sd"), [((3, 3), 0.0), ((3, 3), 0.1), ((3, 3), 0.4), ((5, 2), 0.2), ((1, 4), 0.2)])
def test_no_more_than_one_null_in_twenty_is_called_a_difference(seeds: tuple[int, int], sd: float) -> None:
    rng, shown = np.random.default_rng(6), 0
    for _ in range(600):
        hard = rng.standard_normal(200)
        shown += seed_difference(models(rng, seeds[0], hard, 0, sd), models(rng, seeds[1], hard, 0, sd)).p < 0.05
    assert shown / 600 <= 0.07  # 0.05, plus two standard errors over 600 trials


def test_testing_seeds_as_if_they_were_questions_is_what_this_is_not() -> None:
    """The same null, comparing only its questions: the false alarms that the seed part prevents."""
    rng, shown = np.random.default_rng(6), 0
    for _ in range(200):
        hard = rng.standard_normal(200)
        apart = models(rng, 3, hard, 0, 0.4).mean(axis=0) - models(rng, 3, hard, 0, 0.4).mean(axis=0)
        shown += abs(apart.mean()) > 1.96 * apart.std() / math.sqrt(200)
    assert shown / 200 > 0.3


@pytest.mark.parametrize("sd", [0.02, 0.1])
def test_what_is_called_detectable_is_found_about_so_often(sd: float) -> None:
    rng, found, told = np.random.default_rng(7), 0, []
    gain = 0.35
    for _ in range(300):
        hard = rng.standard_normal(300)
        result = seed_difference(models(rng, 3, hard, gain, sd), models(rng, 3, hard, 0, sd))
        found += result.p < 0.05
        told.append(result.detectable)
    true = norm.cdf(gain / math.sqrt(2 + sd**2)) - 0.5
    if true > np.median(told):
        assert found / 300 > 0.75
    else:
        assert found / 300 < 0.85


def test_sides_must_be_comparable() -> None:
    one = np.ones((1, 5), dtype=bool)
    with pytest.raises(ValueError, match="one seed on both sides"):
        seed_difference(one, one)
    with pytest.raises(ValueError, match="5 and 6 questions"):
        seed_difference(one, np.ones((3, 6), dtype=bool))
