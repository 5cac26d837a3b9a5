"""Models of several seeds on the same questions: the variance due to seeds and the variance due to questions.

A recipe gives a different model with each seed, and all are evaluated on the same questions. So an accuracy has two
sources of chance, crossed with each other like the readers and cases of a diagnostic study, whose analysis is used here
(Obuchowski and Rockette 1995, Communications in Statistics - Simulation 24:285; degrees of freedom after Hillis 2007,
Statistics in Medicine 26:596). With y the right answers, seeds x questions, of one side:

    seed part      variance of the seeds' accuracies / seeds. It includes the effect of seeds on all questions alike and
                   on single ones; at least the latter alone, which is estimated from all questions.
    question part  variance of the questions' mean differences / questions, minus the part of it due to the seeds.

Their sum is the variance of the mean, with the degrees of freedom that the seed parts leave it (Welch and
Satterthwaite): between the smaller number of seeds minus one and, if seeds hardly matter, infinity.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from orchestrator.stats.proportion import wilson_of


@dataclass(frozen=True, slots=True)
class SeedMean:
    """Mean accuracy over seeds."""

    mean: float
    low: float
    high: float
    sd: float
    """Standard deviation of the seeds' accuracies; nan for one seed."""


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """Difference of two mean accuracies over seeds, on the same questions."""

    difference: float
    low: float
    high: float
    p: float
    df: float
    """Degrees of freedom; infinite if no seed part is left."""
    detectable: float | None
    """The true difference detectable at 80% power with such seeds and questions (Bloom 1995, Evaluation Review 19)."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """One side: the effect of its seeds alone on its mean."""

    seed: float
    """Variance of the mean over seeds that is due to the seeds."""
    within: float
    """The part of `seed` that is an interaction with questions: it is also in the questions' variance."""
    df: float
    borrowed: bool = False
    """Whether the variance of the seeds is the other side's."""


def seed_mean(right: NDArray[np.bool_], confidence: float = 0.95) -> SeedMean:
    """Mean accuracy over seeds, its interval for new seeds and new questions, and the spread of the seeds.

    `right` is seeds x questions, with at least two seeds. Wilson's formula with an effective number of answers and the
    t quantile, so that the interval stays in [0, 1] and has a width even if every answer is right.
    """
    y = np.asarray(right, dtype=float)
    n = y.shape[1]
    parts = _parts(y)
    mean = float(y.mean())
    of_questions = max(float(y.mean(axis=0).var(ddof=1)) / n - parts.within, 0.0) if n > 1 else 0.0
    variance = parts.seed + of_questions
    quantile = _quantile(0.5 + confidence / 2, _freedom(variance, [parts]))
    effective = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(n)
    low, high = wilson_of(mean, effective, quantile)
    return SeedMean(mean, low, high, float(y.mean(axis=1).std(ddof=1)))


def seed_difference(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    fixed: bool = False,
    confidence: float = 0.95,
    power: float = 0.8,
    tested_at: float | None = None,
) -> SeedDifference:
    """Difference of mean accuracies for new seeds and new questions, by a Welch-type t-test.

    `ours` and `theirs` are seeds x questions, with the same questions in the same order. The seeds of the two sides are
    assumed to be independent; if a seed improves both sides alike, the interval is wider than necessary. A side with
    one row shows no seed part of its own. It uses the other's variance per seed (Crawford and Howell 1998, The Clinical
    Neuropsychologist 12:482), or has none if it is `fixed`: a model that no seed changes, such as the base. The
    variance of questions is at least what half an event in each cell would make it (Agresti and Min 2005). `tested_at`
    is the confidence of the test, for the detectable difference; it defaults to `confidence`.

    Raises:
        ValueError: different numbers of questions, or one row on both sides.
    """
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the two sides have {a.shape[1]} and {b.shape[1]} questions")
    if len(a) < 2 and len(b) < 2:
        raise ValueError("one seed on both sides says nothing about seeds: use mcnemar and paired_difference")
    n = a.shape[1]
    sides = [_parts(side, None if fixed else other) for side, other in ((a, b), (b, a))]
    apart = a.mean(axis=0) - b.mean(axis=0)
    difference = float(apart.mean())
    spread = float(apart.var(ddof=1)) / n if n > 1 else 0.0
    of_questions = max(spread - sum(side.within for side in sides), 1 / (n + 2) ** 2)
    variance = sum(side.seed for side in sides) + of_questions
    df, error = _freedom(variance, sides), math.sqrt(variance)
    quantile = _quantile(0.5 + confidence / 2, df)
    ratio = -abs(difference) / error
    p = 2 * float(ndtr(ratio) if math.isinf(df) else stdtr(df, ratio))
    detectable = (_quantile(0.5 + (tested_at or confidence) / 2, df) + _quantile(power, df)) * error
    return SeedDifference(
        difference,
        max(-1.0, difference - quantile * error),
        min(1.0, difference + quantile * error),
        min(1.0, p),
        df,
        detectable if detectable < 1 else None,
    )


def _parts(y: NDArray[np.float64], like: NDArray[np.float64] | None = None) -> _Parts:
    """The seed part of one side; a single row uses the variance of `like`, or has none."""
    if len(y) == 1 and like is None:
        return _Parts(0.0, 0.0, math.inf)
    known = y if len(y) > 1 or like is None else like
    k, n = known.shape
    by_seed = known.mean(axis=1)
    left = known - by_seed[:, None] - known.mean(axis=0)[None, :] + known.mean()
    interaction = float((left**2).sum()) / max((k - 1) * (n - 1), 1)
    between = max(float(by_seed.var(ddof=1)), interaction / n)
    return _Parts(between / len(y), interaction / (n * len(y)), k - 1, known is not y)


def _freedom(variance: float, sides: list[_Parts]) -> float:
    """Satterthwaite's degrees of freedom; those of the questions, being so many, count as infinite (Hillis 2007)."""
    if any(side.borrowed for side in sides):  # one variance serves both sides: its error is in both
        uncertain = sum(side.seed for side in sides) ** 2 / sides[0].df
    else:
        uncertain = sum(side.seed**2 / side.df for side in sides)
    return variance**2 / uncertain if uncertain > 0 else math.inf


def _quantile(probability: float, df: float) -> float:
    return float(ndtri(probability) if math.isinf(df) else stdtrit(df, probability))
