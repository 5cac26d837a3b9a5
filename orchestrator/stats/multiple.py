"""Correction for multiple tests."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for multiple testing, in the given order (Holm 1979, Scandinavian Journal of Statistics 6:65).

    The probability of even one false alarm among them is at most the level that the corrected ones are compared with,
    however the tests depend on each other.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return tuple(float(value) for value in corrected)
