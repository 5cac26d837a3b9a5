"""Is the test large enough to show what one hopes to see?"""

from collections.abc import Iterator

from orchestrator.figures import points
from orchestrator.stats import detectable_difference
from orchestrator.types import Finding

DISCORDANT = 0.25
"""The share of questions on which two models are taken to differ, where no larger difference is hoped for."""
PREDICTED = ("test-size", "test-too-small")
"""The findings that predict what a test can show, before it is known on how many questions models differ."""


def power(n: int, hoped: float) -> Iterator[Finding]:
    """A warning where n questions cannot show a difference of `hoped`, else what they can show."""
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
        "a real gain of that size would more often be missed than found" if small else "",
        "evaluate on more questions, or raise limits.difference if only a larger gain matters" if small else "",
    )
