"""Draws that go where they are needed: few of a question that is solved at once, many of one that hardly ever is.

A stage's draws are `n` of each question on average and never more. Every question is drawn `min_draws` times, whatever
comes of them. Then, round by round, those that have fewer than `target_correct` different correct completions are drawn
again, up to `max_draws` times each, until the draws of their shard are spent. Which draws are made depends on nothing
but the recipe: a shard that is made again is the same.

How often a question is solved is estimated from its first `min_draws` draws alone. Their number was fixed before any of
them was made, so pass@k up to `min_draws` is unbiased (Chen et al. 2021, arXiv 2107.03374). The share of correct
completions among all draws is not: hard questions have more of them, and each one's last draw is apt to be correct.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from orchestrator.schema import Positive, Spec
from orchestrator.types import Completion, Example, Verdict

Judged = tuple[Completion, Verdict]


class DrawBudget(Spec):
    """How the draws of a stage are spread over its questions."""

    min_draws: Annotated[int, Field(ge=2)] = 2
    """Draws of every question, and of one that is drawn again in each further round."""
    target_correct: Positive = 1
    """Different correct completions at which a question is drawn no more; they differ in more than white space."""
    max_draws: Positive = 64
    """Draws of one question at the most."""

    @model_validator(mode="after")
    def _fits(self) -> "DrawBudget":
        if self.max_draws < self.min_draws:
            raise ValueError(f"max_draws is {self.max_draws}, and min_draws alone are {self.min_draws}")
        return self


def drawn_within(
    budget: DrawBudget,
    total: int,
    examples: Sequence[Example],
    draw: Callable[[Sequence[Example], range], Sequence[Judged]],
) -> list[Judged]:
    """At most `total` draws of these questions, in the order of the questions and of their draws.

    `draw` makes the draws of a range of each of some questions, in that order.
    """
    made: dict[str, list[Judged]] = {example.id: [] for example in examples}
    waiting, left, begin = list(examples), total, 0
    while waiting and left and begin < budget.max_draws:
        count = min(budget.min_draws, budget.max_draws - begin, max(1, left // len(waiting)))
        waiting = waiting[: left // count]  # what is left is spent on the first of them
        for completion, verdict in draw(waiting, range(begin, begin + count)):
            made[completion.example_id].append((completion, verdict))
        left -= count * len(waiting)
        begin += count
        waiting = [one for one in waiting if _different_correct(made[one.id]) < budget.target_correct]
    return [one for example in examples for one in made[example.id]]


def _different_correct(draws: Sequence[Judged]) -> int:
    return len({" ".join(completion.text.split()) for completion, verdict in draws if verdict.status == "correct"})
