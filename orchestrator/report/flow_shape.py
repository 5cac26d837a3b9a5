"""The shape of a question flow: two bars and four ribbons in a unit square, for pages and for papers.

x runs from the first model at 0 to the second at 1; y from 0 at the top to 1.
"""

from dataclasses import dataclass

from orchestrator.report.flow import Flow

GAP = 0.06
"""The gap between the questions that a model has right and those that it has wrong."""


@dataclass(frozen=True, slots=True)
class Ribbon:
    """The questions of one kind: where they leave the left bar, and where they enter the right one."""

    kind: str
    left: tuple[float, float]
    right: tuple[float, float]

    @property
    def curve(self) -> list[tuple[float, float]]:
        """A corner, two control points and a corner along the upper edge, then the same back along the lower one."""
        (a, b), (c, d) = self.left, self.right
        return [(0, a), (0.5, a), (0.5, c), (1, c), (1, d), (0.5, d), (0.5, b), (0, b)]


@dataclass(frozen=True, slots=True)
class Bar:
    """The questions that one model has right, or those that it has wrong."""

    after: bool
    right: bool
    count: int
    top: float
    bottom: float


def ribbons(flow: Flow) -> list[Ribbon]:
    """The ribbons of the four kinds, right answers at the top; empty ones are left out."""
    scale = (1 - GAP) / flow.n
    kept, broken, fixed = (scale * n for n in (flow.kept, flow.broken, flow.fixed))
    wrong_left, wrong_right = kept + broken + GAP, kept + fixed + GAP
    found = [
        Ribbon("kept", (0, kept), (0, kept)),
        Ribbon("broken", (kept, kept + broken), (wrong_right, wrong_right + broken)),
        Ribbon("fixed", (wrong_left, wrong_left + fixed), (kept, kept + fixed)),
        Ribbon("missed", (wrong_left + fixed, 1), (wrong_right + broken, 1)),
    ]
    return [ribbon for ribbon in found if flow.count(ribbon.kind)]


def bars(flow: Flow) -> list[Bar]:
    """The two bars of each model; empty ones are left out."""
    scale = (1 - GAP) / flow.n
    found = []
    for after, right in ((False, flow.kept + flow.broken), (True, flow.kept + flow.fixed)):
        found.append(Bar(after, True, right, 0, scale * right))
        found.append(Bar(after, False, flow.n - right, scale * right + GAP, 1))
    return [bar for bar in found if bar.count]
