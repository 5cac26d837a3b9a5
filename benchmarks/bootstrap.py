"""Time 10,000 bootstrap resamples of 10,000 questions: differences of right or wrong answers, and of pass rates.

python benchmarks/bootstrap.py
"""

import os
import time

import numpy as np

from orchestrator.stats import paired_bootstrap

QUESTIONS, RESAMPLES, REPEATS = 10_000, 10_000, 3


def main() -> None:
    """Print the best and the worst of three timings for each kind of data."""
    rng = np.random.default_rng(0)
    kinds = {
        "right or wrong (3 differences)": rng.random((2, QUESTIONS)) < 0.6,
        "pass rates of 8 draws (17 differences)": rng.binomial(8, 0.6, (2, QUESTIONS)) / 8,
        "any numbers (10,000 differences)": rng.random((2, QUESTIONS)),
    }
    print(f"{RESAMPLES:,} resamples of {QUESTIONS:,} questions, {os.cpu_count()} cores")
    for name, (ours, theirs) in kinds.items():
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            paired_bootstrap(ours, theirs, RESAMPLES)
            seconds.append(time.perf_counter() - began)
        print(f"{name:<40} {min(seconds):6.3f} s to {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
