"""Two models on the same questions: the difference, its interval, its test, and the detectable difference."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri, stdtr, stdtrit


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947, Psychometrika 12:153): the p-value.

    Of the questions on which two models differ, `wins` go to one and `losses` to the other; 1.0 if there are none.
    """
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


def paired_difference(wins: int, losses: int, n: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """Difference of two accuracies on the same n questions, with its interval: (difference, low, high).

    Wald interval with half an event added to each cell of the 2 x 2 table (Agresti and Min 2005, Statistics in
    Medicine 24:729), which keeps its coverage when the models differ on few questions.
    """
    difference = (wins - losses) / n
    b, c, m = wins + 0.5, losses + 0.5, n + 2
    centre = (b - c) / m
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt((b + c) - (b - c) ** 2 / m) / m
    return difference, max(-1.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class RateDifference:
    """The mean difference of two rates on the same questions."""

    difference: float
    low: float
    high: float
    p: float
    detectable: float | None
    """The true difference that a test detects at 80% power if questions vary like these; None: it detects none."""


def rate_difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    confidence: float = 0.95,
    power: float = 0.8,
    tested_at: float | None = None,
) -> RateDifference:
    """Paired t-test on the share of right answers per question, for questions answered several times.

    `ours` and `theirs` have one share per question, for the same questions in the same order. Only the questions are
    independent, so more answers to each merely make its share less noisy (Miller 2024, arXiv:2411.00640). The variance
    is at least what half an event in each cell would make it (Agresti and Min 2005). `tested_at` is the confidence of
    the test, for the detectable difference; it defaults to `confidence`.
    """
    apart = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    n, difference = len(apart), float(apart.mean())
    error = math.sqrt(max(float(apart.var(ddof=1)) / n if n > 1 else 0.0, 1 / (n + 2) ** 2))
    df = max(n - 1, 1)
    half = float(stdtrit(df, 0.5 + confidence / 2)) * error
    detectable = float(stdtrit(df, 0.5 + (tested_at or confidence) / 2) + stdtrit(df, power)) * error
    return RateDifference(
        difference,
        max(-1.0, difference - half),
        min(1.0, difference + half),
        min(1.0, 2 * float(stdtr(df, -abs(difference) / error))),
        detectable if detectable < 1 else None,
    )


def detectable_difference(
    n: int, discordant: float = 0.25, power: float = 0.8, confidence: float = 0.95
) -> float | None:
    """The smallest true difference of two accuracies that a McNemar test on n shared questions detects at this power.

    `discordant` is the share of questions on which the two models differ. Solves Connor's formula (1987, Biometrics
    43:207) for the difference; None if n is too small even if one model is right wherever they differ.
    """

    def excess(difference: float) -> float:
        return _questions(difference, discordant, power, confidence) - n

    if excess(discordant) > 0:
        return None
    return _root(excess, discordant)


def detectable_beside(n: int, differing: int, power: float = 0.8, confidence: float = 0.95) -> float | None:
    """The same for two models that were observed to differ on `differing` of n questions.

    A difference cannot be larger than the share of questions on which the models differ. So if that share is too small
    to show any, the models are assumed to differ on only as many questions as the difference itself requires. None: n
    questions can never show one.
    """
    found = detectable_difference(n, differing / n, power, confidence) if differing else None
    if found is not None:
        return found

    def excess(difference: float) -> float:
        return _questions(difference, difference, power, confidence) - n

    return _root(excess, 1.0) if excess(1.0) <= 0 else None


def _root(excess: Callable[[float], float], most: float) -> float:
    """The zero of a decreasing function between almost 0 and `most`, by bisection.

    scipy.optimize has a faster method, but takes a quarter of a second to load.
    """
    low, high = 1e-6, most
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _questions(difference: float, discordant: float, power: float, confidence: float) -> float:
    """Connor's formula: the number of questions that a McNemar test needs."""
    z_alpha, z_beta = float(ndtri(0.5 + confidence / 2)), float(ndtri(power))
    spread = z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(max(discordant - difference**2, 0.0))
    return (spread / difference) ** 2


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A mean difference with its percentile interval and p-value."""

    difference: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    ours: ArrayLike, theirs: ArrayLike, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Bootstrap:
    """Bootstrap of the mean difference of two models over questions, resampled as pairs.

    `ours` and `theirs` have one number per question, for the same questions in the same order: 0 or 1, or a pass rate.
    Percentile interval (Efron and Tibshirani 1993, chapter 13). Two-sided p: twice the smaller share of resamples on
    one side of zero, counting the sample itself (Davison and Hinkley 1997, chapter 4).

    If the differences have few distinct values, as those of right and wrong answers do, the count of each value is
    sampled directly: the counts are multinomial, so the distribution is identical.

    Raises:
        ValueError: the two are not for the same questions, or there are none.
    """
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    if differences.ndim != 1 or not len(differences):
        raise ValueError("a paired bootstrap needs two rows of numbers for the same questions, at least one")
    rng, n = np.random.default_rng(seed), len(differences)
    values, counts = np.unique(differences, return_counts=True)
    if len(values) <= _FEW:
        means = rng.multinomial(n, counts / n, size=resamples) @ values / n
    else:
        means = np.empty(resamples)
        narrow = differences.astype(np.float32)  # half the memory to read; sums are kept in double
        at_once = max(1, _CHUNK // n)
        for begin in range(0, resamples, at_once):
            rows = min(at_once, resamples - begin)
            drawn = rng.integers(0, n, size=(rows, n), dtype=np.int32)
            means[begin : begin + rows] = narrow[drawn].mean(axis=1, dtype=np.float64)
    low, high = np.asarray(np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])).tolist()
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Bootstrap(float(differences.mean()), float(low), float(high), min(1.0, 2 * (beyond + 1) / (resamples + 1)))


_FEW = 128
"""Maximum number of distinct differences for which their counts are sampled, instead of single questions."""
_CHUNK = 2_000_000
"""Numbers sampled at a time: about 10 MB."""
