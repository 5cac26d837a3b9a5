"""One proportion and its interval.

Quantiles are from scipy.special: scipy.stats takes a second to load, which would delay every look at a finished run.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, JASA 22:209), as (low, high) in [0, 1].

    Raises:
        ValueError: fewer than 0 or more than n successes, or n below 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    return wilson_of(successes / n, n, float(ndtri(0.5 + confidence / 2)))


def effective_number(rates: NDArray[np.float64], answers: int) -> float:
    """The number of independent answers that are as informative about an accuracy as several answers per question.

    `rates`: for each question, the share of its answers that are right. The result is share x (1 - share) over the
    variance of the mean over questions, which are the independent units (Korn and Graubard 1998); at most all
    `answers`, and the number of questions if that variance is not informative.
    """
    questions, share = len(rates), float(rates.mean())
    if questions < 2 or not 0 < share < 1:
        return float(questions)
    variance = float(rates.var(ddof=1)) / questions
    return min(float(answers), share * (1 - share) / variance) if variance else float(answers)


def wilson_of(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's formula for a share of n independent answers; n need not be whole.

    So it also works for an effective number of answers (Korn and Graubard 1998, Survey Methodology 24:193): n is
    share x (1 - share) over the actual variance of the share. `quantile`: of the normal or t distribution.
    """
    z2 = quantile**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = quantile / (1 + z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    # The interval contains the share; rounding errors alone could exclude a share of 0 or 1 by a hair.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
