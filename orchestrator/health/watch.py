"""What is watched for while a model trains: rules over the values that a trainer logs. Each warns once.

Knows neither torch nor a trainer: values go in, findings come out.
"""

import math
from collections.abc import Iterator, Mapping

from orchestrator.types import Finding

_NOTHING = 1e-10
"""A learning rate below this moves no weight in float32."""
_LOW, _HIGH, _RISEN = 0.1, 5.0, 1.2
_ZERO = 1e-3
"""A mean loss below this is that of no label, or of a text that is known by heart."""
_ALIKE, _CLIPPED = 0.95, 0.95
_IN_A_ROW = 3
"""Logged points in a row that make a state out of an accident."""
_HALVINGS = 16
"""Steps in a row that may overflow by design: PyTorch's gradient scaler begins at 2**16 and halves at each overflow."""


class Watch:
    """Watches one training of `total` steps; `verb` is `sft` or `grpo`.

    `from_base`: it begins with a model that was taught nothing yet. One that goes on with a trained model, on that
    model's own draws even, has a low loss from the first step. `scaled`: its gradients are scaled, as float16 needs it,
    and a step whose gradient overflows is left out.
    """

    def __init__(self, verb: str, total: int, from_base: bool = True, scaled: bool = False) -> None:
        self.verb, self.total, self.scaled = verb, total, scaled
        self._least = _LOW if from_base else _ZERO
        self._told: set[str] = set()
        self._row: dict[str, int] = {}
        self._first: float | None = None
        """The first loss that was logged."""
        self._before: int | None = None
        """The step of the last look."""
        self._sound = 0
        """The last step whose gradient was logged as finite."""

    def look(self, step: int, values: Mapping[str, float]) -> list[Finding]:
        """What the values logged at a step say that was not said before."""
        found = [f for f in self._all(step, values) if f.check not in self._told]
        self._told |= {f.check for f in found}
        self._before = step
        return found

    def _all(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        yield from self._finite(step, values)
        yield from self._rate(step, values)
        yield from self._loss(step, values) if self.verb == "sft" else self._groups(step, values)

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
        """Whether a gradient that is not finite may be the scaler's search for its scale."""
        row = self._again("overflow", True)
        return self.scaled and (row < _IN_A_ROW or step - self._sound <= _HALVINGS)

    def _rate(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        rate = values.get("learning_rate")
        if rate is None or step > 0.9 * self.total:
            return
        if self._again("rate", rate < _NOTHING) >= 2:
            yield Finding(
                "learning-rate-zero",
                "warning",
                f"the learning rate is {rate:g} at step {step} of {self.total}, so nothing is learned",
                _listed(values),
                "learning_rate is next to nothing, warmup_steps is longer than the training, or training went on "
                "from a schedule that had ended",
                "set learning_rate and warmup_steps to what the header of a shipped recipe uses",
            )

    def _loss(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        loss = values.get("loss")
        if loss is None or not math.isfinite(loss):
            return
        if loss < self._least and step <= max(10, 0.1 * self.total):
            yield Finding(
                "loss-too-low",
                "warning",
                f"the loss is {loss:.4f} at step {step}, before anything can have been learned",
                _listed(values),
                "all labels are masked (a loss of 0 is the mean of nothing), or the answer stands in the prompt",
                "run `orch check`: it shows which tokens are trained on",
            )
        gap = 0 if self._before is None else step - self._before
        self._first = loss if self._first is None else self._first
        risen = loss > _RISEN * self._first
        if (loss > _HIGH or risen) and step + max(1, gap) > self.total:  # no point follows this one
            yield Finding(
                "loss-too-high",
                "warning",
                f"the loss is {loss:.2f} at the last step" + (f", it began with {self._first:.2f}" if risen else ""),
                _listed(values),
                "the learning rate is too high and training has diverged, or rows and tokenizer do not belong together",
                "lower learning_rate by a factor of 10, and look at the rows with `orch check`",
            )

    def _groups(self, step: int, values: Mapping[str, float]) -> Iterator[Finding]:
        alike, reward = values.get("frac_reward_zero_std"), values.get("reward", math.nan)
        if alike is not None and self._again("alike", alike >= _ALIKE) >= min(_IN_A_ROW, self.total):
            yield Finding(
                "groups-alike",
                "warning",
                f"in {alike:.0%} of the groups all completions get the same reward, so there is nothing to learn from",
                f"mean reward {reward:.3f} at step {step}; {_listed(values)}",
                "no completion is ever correct: the answer is not found, or the questions are too hard"
                if reward < 0.5
                else "every completion is correct already",
                "look at what the model that GRPO starts from writes; give it questions that it sometimes solves",
            )
        clipped = values.get("completions/clipped_ratio")
        if clipped is not None and self._again("clipped", clipped >= _CLIPPED) >= min(_IN_A_ROW, self.total):
            yield Finding(
                "completions-clipped",
                "warning",
                f"{clipped:.0%} of the completions are cut off at max_completion_length",
                f"step {step}; {_listed(values)}",
                "the limit is shorter than an answer, or the model has never learned to stop",
                "raise max_completion_length; if that does not help, check that the end of text is trained",
            )

    def _again(self, name: str, holds: bool) -> int:
        self._row[name] = self._row.get(name, 0) + 1 if holds else 0
        return self._row[name]


def answer_rate_zero(n: int, truncated: int, sample: str) -> Finding:
    """The finding for a trained model none of whose completions holds an answer."""
    cut = truncated > n / 2
    return Finding(
        "answer-rate-zero",
        "warning",
        f"not one of {n:,} completions holds an answer",
        f"{truncated:,} of them were cut off; the first reads {sample[:200]!r}",
        "completions are cut off before their answer, or the model never stops"
        if cut
        else "the model does not write the answer where it is looked for: the prompt, or the answer format, is "
        "not what it was trained with",
        "raise max_tokens, and check that the end of text is trained" if cut else "run `orch diagnose`",
    )


def stops(findings: list[Finding], stop_on: tuple[str, ...]) -> Finding | None:
    """The first finding at which the recipe wants a stage to end."""
    return next((f for f in findings if "all" in stop_on or f.check in stop_on), None)


def _listed(values: Mapping[str, float]) -> str:
    shown = ("loss", "grad_norm", "learning_rate", "reward", "frac_reward_zero_std", "completions/clipped_ratio")
    return ", ".join(f"{name} {values[name]:.4g}" for name in shown if name in values)
