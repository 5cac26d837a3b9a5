"""Statistics for answers that are right or wrong."""

import math

from scipy.optimize import brentq
from scipy.stats import binomtest, norm


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, JASA 22:209), as (low, high) in [0, 1]."""
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947, Psychometrika 12:153): the p-value.

    Of the questions on which two models differ, `wins` go to one and `losses` to the other; 1.0 where there is none.
    """
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def paired_difference(wins: int, losses: int, n: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """Difference of two accuracies on the same n questions, with its interval: (difference, low, high).

    Wald interval with half an event added to each cell of the 2 x 2 table (Agresti and Min 2005, Statistics in
    Medicine 24:729), which keeps its coverage where few questions differ.
    """
    difference = (wins - losses) / n
    b, c, m = wins + 0.5, losses + 0.5, n + 2
    centre = (b - c) / m
    half = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt((b + c) - (b - c) ** 2 / m) / m
    return difference, max(-1.0, centre - half), min(1.0, centre + half)


def detectable_difference(
    n: int, discordant: float = 0.25, power: float = 0.8, confidence: float = 0.95
) -> float | None:
    """The smallest true difference of two accuracies that a McNemar test on n shared questions finds so often.

    `discordant` is the share of questions on which the two models differ. Solves Connor's formula (1987, Biometrics
    43:207) for the difference; None where n is too small even if one model is right on all on which they differ.
    """
    z_alpha, z_beta = float(norm.ppf(0.5 + confidence / 2)), float(norm.ppf(power))

    def excess(difference: float) -> float:
        spread = z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(max(discordant - difference**2, 0.0))
        return (spread / difference) ** 2 - n

    if excess(discordant) > 0:
        return None
    return float(brentq(excess, 1e-6, discordant))
