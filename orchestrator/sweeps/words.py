"""A sweep's result in plain sentences, the same on screen, in the report and in MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.comparison import ModelDifference
from orchestrator.figures import p_equals, points, value_text
from orchestrator.results import TrialResult

FEW = 10
"""With fewer complete trials, the importance of a setting is hardly more than a guess."""


def shown(label: Mapping[str, Any]) -> str:
    """Settings in readable form: `rft.learning_rate = 0.001, chosen.max_per_example = 2`."""
    return ", ".join(f"{short(name)} = {value_text(value)}" for name, value in label.items())


def short(name: str) -> str:
    """A setting's name without the `stages.` prefix."""
    return name.removeprefix("stages.")


def distinct(names: Sequence[str]) -> dict[str, str]:
    """For each dotted name, the shortest suffix that distinguishes it: `learning_rate`, `rft.learning_rate`."""
    found = {}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            end = ".".join(parts[-length:])
            if sum(f".{other}".endswith(f".{end}") for other in names) == 1:
                break
        found[name] = end
    return found


def rank(trial: TrialResult) -> tuple[bool, int, float, int]:
    """Sort key for trials, best first: finalists, which have more seeds, before others; those without a value last."""
    return trial.value is None, -trial.seeds, -(trial.value or 0.0), trial.number


@dataclass(frozen=True, slots=True)
class Chosen:
    """The proposed trial, and how many it was chosen from."""

    number: int
    best: int
    """The trial with the highest accuracy, which may cost more."""
    count: int
    """Number of trials it was chosen from: complete ones, and those ended early because they did worse."""
    on: str
    """The split it was chosen on."""

    @property
    def among(self) -> str:
        """Such as `the best of 8`."""
        return f"the best of {self.count}" if self.number == self.best else f"chosen from {self.count}"

    @property
    def luck(self) -> str:
        """Why a lead on the split that it was chosen on means little."""
        if self.number == self.best:
            of_them = f"Trial {self.number} was the best of {self.count} on {self.on}"
            return f"{of_them}: the best of several is also the luckiest"
        return f"Trial {self.number} was chosen from {self.count} on {self.on}, where luck plays a part too"


def verdict(difference: ModelDifference | None, chosen: Chosen, on: str, is_own: bool) -> list[str]:
    """Whether the chosen trial is better than the recipe's own values, on the split that is evaluated only once."""
    number = chosen.number
    if is_own:
        return [
            f"No trial is better than the recipe's own values: trial {number}, {chosen.among} on {chosen.on}, has "
            "the same values."
        ]
    if difference is None:
        return []
    said = (
        f"{points(difference.difference, sign=True)} points on {on} (95% interval {points(difference.low)} to "
        f"{points(difference.high)}, {p_equals(difference.p)}, n = {difference.n:,})"
    )
    if difference.shown and difference.difference > 0:
        return [f"Trial {number} is better than the recipe's own values: {said}. It was {chosen.among}."]
    if difference.shown:
        return [
            f"No trial is better than the recipe's own values: trial {number} is worse, {said}. That it was "
            f"{chosen.among} on {chosen.on} was luck."
        ]
    lines = [f"No trial is better than the recipe's own values: trial {number} differs by {said}."]
    if chosen.count > 1:
        lines.append(f"{chosen.luck}, and {on} does not show a gain.")
    if difference.detectable is not None:
        lines.append(
            f"With {difference.n} questions the smallest detectable difference is "
            f"{points(difference.detectable)} points."
        )
    return lines


def standing(trials: Sequence[TrialResult], best: int, taken: int) -> list[str]:
    """How many trials there were, and which of them the data cannot tell apart."""
    complete = [trial for trial in trials if trial.state == "complete"]
    most = max((trial.seeds for trial in complete), default=1)
    compared = [trial for trial in complete if trial.seeds == most]
    ended = len(trials) - len(complete)
    lines = [f"{len(complete)} trials are complete{f', {ended} ended early or failed' if ended else ''}."]
    if len(compared) < len(complete):
        lines[0] += f" {len(compared)} that were tied with the best were run with {most} seeds: the finalists."
    if len(compared) > 1:
        tied = sum(trial.tied for trial in compared)
        if tied == 1:
            lines[0] += f" Trial {best} is the best; each of the others is significantly worse."
        else:
            rest = f"{tied - 1} more {'is' if tied == 2 else 'are'} not significantly worse"
            lines[0] += f" Trial {best} has the highest accuracy; {rest}."
            if taken != best:
                lines.append(f"Trial {taken} is proposed: the data cannot tell it from the best, and it costs less.")
    return lines
