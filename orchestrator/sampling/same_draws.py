"""Several completions of one question: are they the same text, all wrong, or all right? Three causes, one symptom.

If all completions of a question have the same score, GRPO has nothing to learn from them; if they are the same text,
many draws tell no more than one. Knows no model and no table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.types import Finding

IDENTICAL = "frac_identical_groups"
"""Curve: share of GRPO's groups in which all completions are the same."""
ANSWERED = "completions/answer_rate"
"""Curve: share of GRPO's completions that contain an answer."""
_ALIKE = 0.95
_LEAST = 8
"""Minimum number of questions: with fewer, identical draws may be an accident."""
_NONE, _ALL = 0.05, 0.95
"""Mean rewards that count as almost zero and as almost full."""


def share_identical(groups: Sequence[Sequence[str]]) -> float:
    """The share of groups whose texts are all the same."""
    return sum(len(set(group)) == 1 for group in groups) / len(groups)


def group_finding(identical: bool, values: Mapping[str, float], evidence: str) -> Finding:
    """The finding for GRPO groups whose completions all have the same reward; `values` as logged."""
    reward = values.get("reward", 0.0)
    seen = f"mean reward {reward:.3f} at {evidence}"
    if identical and reward < _ALL:
        return Finding(
            "draws-identical",
            "warning",
            f"in {values[IDENTICAL]:.0%} of the groups all completions are the same text, so there is nothing to learn "
            "from",
            seen,
            "temperature or top_p is so low that every draw is the most likely text, or the policy has collapsed onto "
            "one text for each question",
            "set temperature to 1 and top_p to 1; if the draws stay the same, start from a model that was trained "
            "less, or with a lower learning_rate",
        )
    answered = values.get(ANSWERED)
    if reward >= _ALL:
        cause, remedy = "every completion is already correct", "use questions that the model sometimes fails"
    elif reward > _NONE:
        cause = "each question is answered correctly either always or never"
        remedy = "use questions that the model sometimes solves, or raise temperature or num_generations"
    else:
        cause = "no completion is ever correct: the answer is not found, or the questions are too hard"
        if answered is not None and answered > 1 - _ALL:
            cause = f"no completion is ever correct, though {answered:.0%} have an answer: the questions are too hard"
        elif answered is not None:
            cause = "no completion is ever correct: almost none has an answer where it is looked for"
        remedy = "look at the output of the model that GRPO starts from; use questions that it sometimes solves"
    return Finding(
        "groups-alike",
        "warning",
        f"in {values.get('frac_reward_zero_std', 1.0):.0%} of the groups all completions get the same reward, so there "
        "is nothing to learn from",
        seen,
        cause,
        remedy,
    )


@dataclass(frozen=True, slots=True)
class Groups:
    """Questions with several draws each."""

    questions: int
    identical: int
    """Number of questions whose draws are all the same text."""
    draws: int
    """Number of draws per question."""
    first: str
    """The text of the very first draw."""


def sampling_finding(groups: Groups, correct: float, temperature: float) -> Finding | None:
    """The finding for sampling in which all draws of a question are the same; None if they differ, as they should.

    `correct` is the share of correct draws.
    """
    if groups.questions < _LEAST or groups.draws < 2 or (share := groups.identical / groups.questions) < _ALIKE:
        return None
    sure = correct >= _ALL
    return Finding(
        "draws-identical",
        "warning",
        f"for {share:.0%} of {groups.questions:,} questions all {groups.draws} draws are the same text",
        f"temperature {temperature:g}, {correct:.0%} of the draws are correct; the first reads {groups.first[:120]!r}",
        "the questions are so easy that the model is sure of every answer"
        if sure
        else "temperature or top_p is so low that every draw is the most likely text, or the model has collapsed onto "
        "one text for each question",
        "set n to 1, or use harder questions" if sure else "raise temperature, or set n to 1",
    )
