"""Whether the test is large enough to show the difference one hopes for."""

from collections.abc import Iterator

from orchestrator.figures import points
from orchestrator.stats import detectable_difference
from orchestrator.types import Finding

DISCORDANT = 0.25
"""The share of questions on which two models are assumed to differ, unless a larger difference is hoped for."""
PREDICTED = ("test-size", "test-too-small")
"""Findings that predict what a test can show, before it is known on how many questions models differ."""


def power(n: int, hoped: float) -> Iterator[Finding]:
    """A warning if n questions cannot show a difference of `hoped`; otherwise, the difference they can show."""
    discordant = max(DISCORDANT, hoped)
    shown = detectable_difference(n, discordant)
    small = shown is None or shown > hoped
    able = (
        "are too few to show any difference"
        if shown is None
        else f"can show a difference of {points(shown)} points or more"
    )
    yield Finding(
        "test-too-small" if small else "test-size",
        "warning" if small else "info",
        f"{n:,} test questions {able} between two models"
        + (f"; limits.difference asks for {points(hoped)}" if small else ""),
        f"McNemar at 5 percent, power 80 percent (Connor 1987), if two models differ on {discordant:.0%} of them",
        "a real gain of that size would be missed more often than found" if small else "",
        "evaluate on more questions, or raise limits.difference if only a larger gain matters" if small else "",
    )
