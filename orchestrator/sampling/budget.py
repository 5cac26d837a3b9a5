"""Draws where they are needed: few for a question that is solved right away, many for one that hardly ever is.

A stage takes at most `n` draws per question on average. Every question is sampled `min_draws` times, whatever the
results. Then, round by round, questions with fewer than `target_correct` different correct completions are sampled
again, up to `max_draws` times each, until the draws of their shard are used up. Which draws are taken depends only on
the recipe: a shard that is repeated is the same.

How often a question is solved is estimated only from its first `min_draws` draws. Their number was fixed before any of
them was taken, so pass@k up to `min_draws` is unbiased (Chen et al. 2021, arXiv 2107.03374). The share of correct
completions among all draws is biased: hard questions have more of them, and each one's last draw is likely correct.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from orchestrator.schema import Positive, Spec
from orchestrator.types import Completion, Example, Verdict

Judged = tuple[Completion, Verdict]


class DrawBudget(Spec):
    """How a stage's draws are spread over its questions."""

    min_draws: Annotated[int, Field(ge=2)] = 2
    """Draws per question in the first round, and in each further round for a question that is sampled again."""
    target_correct: Positive = 1
    """Number of different correct completions at which a question is done; whitespace makes no difference."""
    max_draws: Positive = 64
    """Maximum draws per question."""

    @model_validator(mode="after")
    def _fits(self) -> "DrawBudget":
        if self.max_draws < self.min_draws:
            raise ValueError(f"max_draws is {self.max_draws}, less than min_draws = {self.min_draws}")
        return self


def drawn_within(
    budget: DrawBudget,
    total: int,
    examples: Sequence[Example],
    draw: Callable[[Sequence[Example], range], Sequence[Judged]],
) -> list[Judged]:
    """At most `total` draws of these questions, ordered by question and draw.

    `draw` takes a range of draws of each of the given questions, in that order.
    """
    made: dict[str, list[Judged]] = {example.id: [] for example in examples}
    waiting, left, begin = list(examples), total, 0
    while waiting and left and begin < budget.max_draws:
        count = min(budget.min_draws, budget.max_draws - begin, max(1, left // len(waiting)))
        waiting = waiting[: left // count]  # the remaining draws go to the first of them
        for completion, verdict in draw(waiting, range(begin, begin + count)):
            made[completion.example_id].append((completion, verdict))
        left -= count * len(waiting)
        begin += count
        waiting = [one for one in waiting if _different_correct(made[one.id]) < budget.target_correct]
    return [one for example in examples for one in made[example.id]]


def _different_correct(draws: Sequence[Judged]) -> int:
    return len({" ".join(completion.text.split()) for completion, verdict in draws if verdict.status == "correct"})
