"""Rules that watch a model while it trains, over per-step values or the means of several steps. Each warns once.

Knows neither torch nor a trainer: values go in, findings come out. A rule looks for a lasting state, not an accident:
it counts steps, looks or groups of completions, so it accepts every step as well as means over a few.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from orchestrator.sampling.same_draws import ANSWERED, IDENTICAL, group_finding
from orchestrator.types import Finding

_NOTHING = 1e-10
"""A learning rate below this moves no weight in float32."""
_LITTLE_RATE, _LITTLE_SUM = 1e-7, 1e-6
"""A schedule that never exceeds the first and sums to less than the second changes nothing: with Adam, a weight moves
by the learning rate per step, and weights are about 0.02."""
_FRACTION = 0.05
"""A schedule that never exceeds this share of the configured learning rate is not the intended one."""
_LOW, _HIGH = 0.1, 5.0
_RISEN, _RISEN_ALONE = 1.2, 1.5
"""A loss has risen if it ends above this multiple of its first value; the second applies if that covers few steps."""
_ZERO = 1e-3
"""A mean loss below this means that there are no labels, or that the text is memorized."""
_ALIKE, _CLIPPED = 0.95, 0.95
_IN_A_ROW = 3
"""Number of consecutive looks after which something is a state, not an accident."""
_GROUPS = 16
"""Number of groups of completions needed as well: the few groups of one step are all alike now and then."""
_AVERAGED = 5
"""Number of last steps whose median loss is compared with the first."""
_UNMOVED = 0.05
"""Below this share of moved weights nothing is learned: steps lost in rounding still move the smallest weights."""
_HALVINGS = 16
"""Consecutive steps that may overflow by design: PyTorch's gradient scaler starts at 2**16 and halves each time."""
CLIPPED = "completions/clipped_ratio"
"""TRL's curve of the share of truncated completions."""
MOVED = "weights_moved"
"""Share of weights that training has changed so far."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rates of the remaining steps, for a schedule that fixes them in advance."""

    wanted: float
    """The learning rate set in the recipe."""
    highest: float
    total: float
    """The sum of all learning rates."""


class Watch:
    """Watches one training of `total` steps; `headline`, `loss` or `reward`, selects the rules.

    `from_base`: training starts from an untrained base model. A training that continues from a trained model, perhaps
    even on that model's own draws, has a low loss from the first step. `scaled`: gradients are scaled, as float16
    requires, and a step whose gradient overflows is skipped. `groups`: number of groups of completions per look.
    """

    def __init__(
        self,
        headline: str,
        total: int,
        from_base: bool = True,
        scaled: bool = False,
        schedule: Schedule | None = None,
        groups: int | None = None,
    ) -> None:
        self.headline, self.total, self.scaled, self.schedule = headline, total, scaled, schedule
        self._least = _LOW if from_base else _ZERO
        self._groups_a_look = groups or _GROUPS
        self._told: set[str] = set()
        self._row: dict[str, int] = {}
        self._looks: dict[str, int] = {}
        self._first: float | None = None
        """The first loss."""
        self._alone = False
        """Whether the first loss covers only one step, or a few."""
        self._last: deque[tuple[float, int]] = deque()
        """The latest losses, each with the number of steps it averages."""
        self._low = True
        """Whether every loss so far was lower than a first loss can be."""
        self._before: int | None = None
        """The step of the last look."""
        self._sound = 0
        """The last step whose gradient was logged as finite."""

    def look(self, step: int, values: Mapping[str, float]) -> list[Finding]:
        """The new findings for the values of a step, or for their means since the last look."""
        found = [f for f in self._all(step, values) if f.check not in self._told]
        self._told |= {f.check for f in found}
        self._before = step
        return found

    def _all(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        yield from self._finite(step, values)
        yield from self._rate(step, values)
        yield from self._weights(step, values)
        if self.headline == "loss":
            yield from self._loss(step, values)
        elif self.headline == "reward":
            yield from self._groups(step, values)

    def _finite(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        if math.isfinite(values.get("grad_norm", math.nan)):
            self._sound = step
            self._again("overflow", False)
        for check, name, what in (
            ("loss-not-finite", "loss", "the loss"),
            ("gradient-not-finite", "grad_norm", "the gradient"),
        ):
            value = values.get(name, 0.0)
            if not math.isfinite(value) and not (name == "grad_norm" and self._by_design(step)):
                yield Finding(
                    check,
                    "error",
                    f"{what} is {value} at step {step}",
                    _listed(values),
                    "the numbers overflow: weights in half precision, a learning rate that is too high, or a base "
                    "model whose weights are damaged",
                    "train in bfloat16 or float32, lower learning_rate, and check the base model's weights",
                )

    def _by_design(self, step: int) -> bool:
        """Whether a non-finite gradient may come from the gradient scaler searching for its scale."""
        row = self._again("overflow", True)
        return self.scaled and (row < _IN_A_ROW or step - self._sound <= _HALVINGS)

    def _rate(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        rate = values.get("learning_rate")
        if rate is None or step > max(1, 0.9 * self.total):
            return
        if self.schedule is not None:
            yield from self._planned(self.schedule, step, values)
        elif self._again("rate", rate < _NOTHING) >= 2:
            yield _no_rate(
                f"the learning rate is {rate:g} at step {step} of {self.total}, so nothing is learned", values
            )

    def _planned(self, schedule: Schedule, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        """Check a schedule known in advance: so a warm-up is not mistaken for a learning rate of zero."""
        highest = f"the learning rate is at most {schedule.highest:.2g} in all of the {self.total} steps"
        if schedule.highest < _LITTLE_RATE and schedule.total < _LITTLE_SUM:
            yield _no_rate(f"{highest}, so nothing is learned", values)
        elif schedule.highest <= _FRACTION * schedule.wanted and step <= _IN_A_ROW:
            yield _no_rate(f"{highest}, not the {schedule.wanted:.2g} that is set", values)

    def _weights(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        moved = values.get(MOVED)
        if moved is not None and moved < _UNMOVED and not self._told & {"learning-rate-zero", "loss-not-finite"}:
            yield Finding(
                "weights-unmoved",
                "error",
                f"after {step} steps {1 - moved:.0%} of the trained weights are unchanged",
                _listed(values),
                "each step is smaller than the rounding of the weights (they are kept in half precision, or the "
                "learning rate is too low for them), or the optimizer does not have these weights",
                "keep the trained weights in float32, or raise learning_rate",
            )

    def _loss(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        loss = values.get("loss")
        if loss is None or not math.isfinite(loss):
            return
        covered = step - (self._before or 0)
        self._first = loss if self._first is None else self._first
        self._alone = covered < _AVERAGED if self._before is None else self._alone
        self._last.append((loss, covered))
        while sum(steps for _, steps in self._last) - self._last[0][1] >= _AVERAGED:
            self._last.popleft()
        self._low = self._low and loss < self._least
        if self._low and step >= min(_IN_A_ROW, self.total) and step <= max(10, 0.1 * self.total):
            yield Finding(
                "loss-too-low",
                "warning",
                f"the loss is {loss:.4f} at step {step}, before anything can have been learned",
                _listed(values),
                "all labels are masked (a loss of 0 is the mean of nothing), or the answer is in the prompt",
                "run `orch check`: it shows which tokens are trained on",
            )
        gap = 0 if self._before is None else covered
        if step + max(1, gap) <= self.total:
            return  # another look follows
        ends = median(value for value, _ in self._last)
        risen = ends > (_RISEN_ALONE if self._alone else _RISEN) * self._first
        if ends > _HIGH or risen:
            yield Finding(
                "loss-too-high",
                "warning",
                f"the loss is {ends:.2f} at the last step" + (f", up from {self._first:.2f}" if risen else ""),
                _listed(values),
                "the learning rate is too high and training has diverged, or the rows do not match the tokenizer",
                "lower learning_rate by a factor of 10, and look at the rows with `orch check`",
            )

    def _groups(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        alike, same = values.get("frac_reward_zero_std"), values.get(IDENTICAL)
        identical = same is not None and self._lasts("identical", same >= _ALIKE, step)
        equal = alike is not None and self._lasts("alike", alike >= _ALIKE, step)
        if (identical or equal) and not self._told & {"groups-alike", "draws-identical"}:
            yield group_finding(identical, values, f"step {step}; {_listed(values)}")
        clipped = values.get(CLIPPED)
        if clipped is not None and self._lasts("clipped", clipped >= _CLIPPED, step):
            yield Finding(
                "completions-clipped",
                "warning",
                f"{clipped:.0%} of the completions are cut off at max_completion_length",
                f"step {step}; {_listed(values)}",
                "the limit is shorter than an answer, or the model has never learned to stop",
                "raise max_completion_length; if that does not help, check that the end of text is trained",
            )

    def _lasts(self, name: str, holds: bool, step: int) -> bool:
        """Whether a condition has held for long enough, or has held at every look and no look follows."""
        row = self._again(name, holds)
        self._looks[name] = self._looks.get(name, 0) + 1
        enough = row >= _IN_A_ROW and row * self._groups_a_look >= _GROUPS
        return enough or (row == self._looks[name] and step >= self.total)

    def _again(self, name: str, holds: bool) -> int:
        self._row[name] = self._row.get(name, 0) + 1 if holds else 0
        return self._row[name]


def answer_rate_zero(n: int, truncated: int, sample: str) -> Finding:
    """The finding for a trained model with no answer in any of its completions."""
    cut = truncated > n / 2
    return Finding(
        "answer-rate-zero",
        "warning",
        f"none of the {n:,} completions contains an answer",
        f"{truncated:,} of them were cut off; the first reads {sample[:200]!r}",
        "completions are cut off before their answer, or the model never stops"
        if cut
        else "the model does not write the answer where it is looked for: it was trained too little, or with another "
        "prompt or answer format",
        "raise max_tokens, and check that the end of text is trained" if cut else "run `orch diagnose`",
    )


_KINDS = {"draws-identical": "groups-alike"}
"""Findings that are special cases of another one: a recipe that stops a stage on the general one means both."""


def stops(findings: list[Finding], stop_on: tuple[str, ...]) -> Finding | None:
    """The first finding on which the recipe stops the stage."""
    ends = set(stop_on)
    return next((f for f in findings if "all" in ends or {f.check, _KINDS.get(f.check)} & ends), None)


def _no_rate(what: str, values: Mapping[str, float]) -> Finding:
    return Finding(
        "learning-rate-zero",
        "warning",
        what,
        _listed(values),
        "learning_rate is almost zero, warmup_steps is longer than the training, or training resumed "
        "a schedule that had already ended",
        "set learning_rate and warmup_steps to what the header of a shipped recipe uses",
    )


def _listed(values: Mapping[str, float]) -> str:
    shown = ("loss", "grad_norm", "learning_rate", "reward", "frac_reward_zero_std", IDENTICAL, ANSWERED, CLIPPED)
    return ", ".join(f"{name} {values[name]:.4g}" for name in shown if name in values)
