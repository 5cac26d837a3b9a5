"""Many tests at once."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for being several, in the order given (Holm 1979, Scandinavian Journal of Statistics 6:65).

    The chance of so much as one false alarm among them stays at the level that the corrected ones are held against,
    whatever the tests have to do with each other.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return tuple(float(value) for value in corrected)
