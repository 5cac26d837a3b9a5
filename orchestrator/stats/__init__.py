"""Statistics for answers that are right or wrong. Knows arrays and numbers, but no models, runs or files."""

from orchestrator.stats.draws import majority_at_k, pass_at_k
from orchestrator.stats.multiple import holm
from orchestrator.stats.paired import (
    Bootstrap,
    RateDifference,
    detectable_beside,
    detectable_difference,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    rate_difference,
)
from orchestrator.stats.parts import rate_parts
from orchestrator.stats.proportion import wilson
from orchestrator.stats.seeds import SeedDifference, SeedMean, seed_difference, seed_mean

__all__ = [
    "Bootstrap",
    "RateDifference",
    "SeedDifference",
    "SeedMean",
    "detectable_beside",
    "detectable_difference",
    "holm",
    "majority_at_k",
    "mcnemar",
    "paired_bootstrap",
    "paired_difference",
    "pass_at_k",
    "rate_difference",
    "rate_parts",
    "seed_difference",
    "seed_mean",
    "wilson",
]
