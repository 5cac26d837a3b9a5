"""One proportion and its interval.

Quantiles are those of scipy.special: scipy.stats takes a second to load, which every look at a finished run would pay.
"""

import math

from scipy.special import ndtri


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, JASA 22:209), as (low, high) in [0, 1].

    Raises:
        ValueError: fewer successes than 0, or more than n; an n below 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")
    return wilson_of(successes / n, n, float(ndtri(0.5 + confidence / 2)))


def wilson_of(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's formula for a share of n independent answers, where n need not be whole.

    So it serves an effective number of answers (Korn and Graubard 1998, Survey Methodology 24:193): n is
    share x (1 - share) over the variance that the share has in truth. `quantile`: of the normal or t distribution.
    """
    z2 = quantile**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = quantile / (1 + z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    # The interval holds the share; rounding alone would put the end beside 0 or 1 a hair inside of it.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
