"""What a sweep comes to, in plain sentences: screen, report and MLflow say the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.comparison import ModelDifference
from orchestrator.figures import p_equals, points
from orchestrator.results import TrialResult

FEW = 10
"""Complete trials below which the importance of a setting is hardly more than a guess."""


def shown(label: Mapping[str, Any]) -> str:
    """Settings as people read them: `rft.learning_rate = 0.001, chosen.max_per_example = 2`."""
    return ", ".join(f"{short(name)} = {value_text(value)}" for name, value in label.items())


def short(name: str) -> str:
    """A setting's name without the word that all of them begin with."""
    return name.removeprefix("stages.")


def distinct(names: Sequence[str]) -> dict[str, str]:
    """For each dotted name as much of its end as tells it from the others: `learning_rate`, `rft.learning_rate`."""
    found = {}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            end = ".".join(parts[-length:])
            if sum(f".{other}".endswith(f".{end}") for other in names) == 1:
                break
        found[name] = end
    return found


def value_text(value: Any) -> str:
    """A value in at most four significant digits, where it is a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict(
    difference: ModelDifference | None, count: int, taken: TrialResult, on: str, chosen_on: str, is_own: bool
) -> list[str]:
    """Whether the trial that was taken is better than the recipe's own values, on the questions asked once."""
    best_of = f"trial {taken.number}, the best of {count}" if count > 1 else f"trial {taken.number}"
    if is_own:
        return [f"No trial is better than the recipe's own values: {best_of} on {chosen_on}, has these values itself."]
    if difference is None:
        return []
    said = (
        f"{points(difference.difference, sign=True)} points on {on} (95% interval {points(difference.low)} to "
        f"{points(difference.high)}, {p_equals(difference.p)}, n = {difference.n:,})"
    )
    if difference.shown and difference.difference > 0:
        return [f"Trial {taken.number} is better than the recipe's own values: {said}. It was the best of {count}."]
    if difference.shown:
        return [
            f"No trial is better than the recipe's own values: trial {taken.number} is worse, {said}. That it was the "
            f"best of {count} on {chosen_on} was luck."
        ]
    lines = [f"No trial is better than the recipe's own values: trial {taken.number} came to {said}."]
    if count > 1:
        lines.append(
            f"Trial {taken.number} was the best of {count} on {chosen_on}: the best of so many is also the luckiest, "
            f"and {on} does not show a gain."
        )
    if difference.detectable is not None:
        lines.append(
            f"With {difference.n} questions the smallest detectable difference is "
            f"{points(difference.detectable)} points."
        )
    return lines


def standing(trials: Sequence[TrialResult], best: int, taken: int) -> list[str]:
    """How many trials there were, and which of them the data do not tell apart."""
    complete = [trial for trial in trials if trial.state == "complete"]
    tied = [trial for trial in complete if trial.tied]
    ended = len(trials) - len(complete)
    rest = f", {ended} ended early or failed" if ended else ""
    lines = [f"{len(complete)} trials are complete{rest}."]
    if len(complete) > 1:
        if len(tied) == 1:
            lines = [f"{lines[0]} Trial {best} is the best; every other is significantly worse."]
        else:
            lines = [
                f"{lines[0]} Trial {best} has the highest accuracy; {len(tied) - 1} more "
                f"{'is' if len(tied) == 2 else 'are'} not significantly worse."
            ]
            if taken != best:
                lines.append(
                    f"Of these trial {taken} is proposed: the data do not tell it from the best, and it costs less."
                )
    return lines
