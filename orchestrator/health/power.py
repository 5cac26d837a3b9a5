"""Is the test large enough to show what one hopes to see?"""

from collections.abc import Iterator

from orchestrator.stats import detectable_difference
from orchestrator.types import Finding

DISCORDANT = 0.25
"""The share of questions on which two models are taken to differ."""


def power(n: int, hoped: float) -> Iterator[Finding]:
    """A warning where n questions cannot show a difference of `hoped`, else what they can show."""
    shown = detectable_difference(n, DISCORDANT)
    small = shown > hoped
    yield Finding(
        "test-too-small" if small else "test-size",
        "warning" if small else "info",
        f"{n:,} test questions show a difference of {shown:.3f} or more between two models"
        + (f"; you hope for {hoped:g}" if small else ""),
        f"exact McNemar at 5 percent, power 80 percent, models that differ on {DISCORDANT:.0%} of the questions",
        "a real gain of the size hoped for would more often be missed than found" if small else "",
        "evaluate on more questions, or raise limits.difference if only a larger gain matters" if small else "",
    )
