"""Advice after a bad curve: which settings of the stage to change, with their old and new values.

Knows the names of settings and the logged values; other modules decide which curve is bad.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.health.curves.series import Series
from orchestrator.training.settings import SftSettings

_WARMUP = 0.1
"""A tenth of the steps: the usual warm-up in fine-tuning recipes."""
_CLIP = 1.0
"""TRL's own default for max_grad_norm."""
_BETA = 0.04
"""TRL's former default, and the value of the DeepSeekMath paper that introduced GRPO (arXiv 2402.03300)."""
_BETA2 = 0.95
"""Forgets a large gradient after 20 steps instead of 1,000; common for large models since GPT-3."""
_SLOWER = 3.0
"""Divisor for a learning rate that was too high, but not wildly."""
_ANSWER = 5.0
"""The answer is about a fifth of a worked solution's tokens: this makes it count as much as all the rest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A training stage's settings as the recipe spells them, with defaults, and their place in the recipe."""

    values: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""
    """The prefix of their names: `stages.rft.`."""

    def get(self, name: str, default: Any = None) -> Any:
        """A setting; the default if it is unknown."""
        return self.values.get(name, default)

    def below(self, name: str) -> "Settings":
        """The settings nested in a setting; none if it is not set."""
        return Settings(self.values.get(name) or {}, f"{self.place}{name}.")


def change(settings: Settings, name: str, to: float | str) -> str:
    """`stages.rft.learning_rate from 0.01 to 0.003`, or only the new value if the old one is unknown."""
    now = settings.get(name)
    new, full = to if isinstance(to, str) else short(to), settings.place + name
    if now is None:
        return f"{full} to {new}"
    return f"{full} from {now if isinstance(now, str) else f'{float(now):g}'} to {new}"


def short(number: float) -> str:
    """A number as a person writes it: two significant digits, whole numbers in full."""
    return f"{number:.0f}" if number == round(number) and abs(number) < 1e6 else f"{number:.2g}"


def joined(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def gentler(settings: Settings, grad_norm: Series, divisor: float, known: float | None = None) -> str:
    """A lower learning rate, a warm-up if there is none, and clipping if it never took effect.

    `known` is a learning rate at which all was still well: the new one does not exceed it.
    """
    parts = [slower(settings, divisor, known)]
    if settings.get("warmup_steps") == 0:
        parts.append(change(settings, "warmup_steps", _WARMUP))
    clip = clipping(settings, grad_norm)
    return f"set {joined([*parts, clip] if clip else parts)}"


def slower(settings: Settings, divisor: float, known: float | None = None) -> str:
    """A lower learning rate, at most `known`."""
    rate = settings.get("learning_rate")
    if not rate:
        return f"{settings.place}learning_rate lower"
    return change(settings, "learning_rate", min(rate / divisor, known or math.inf))


def clipping(settings: Settings, grad_norm: Series) -> str | None:
    """A max_grad_norm that clips larger gradients than usual; None if the present one already does."""
    now = settings.get("max_grad_norm")
    usual = grad_norm.level(len(grad_norm)) if len(grad_norm) else _CLIP
    if now is None or (0 < now <= 2 * usual):
        return None
    return change(settings, "max_grad_norm", _upwards(usual) if usual > 0 else _CLIP)


def steadier(settings: Settings, grad_norm: Series) -> str:
    """Against single bad batches: clipping, an optimizer that forgets them sooner, or larger batches."""
    parts = []
    clip = clipping(settings, grad_norm)
    if clip:
        parts.append(clip)
    if settings.get("adam_beta2", 0.0) > _BETA2:
        parts.append(change(settings, "adam_beta2", _BETA2))
    if not parts:
        now = settings.get("gradient_accumulation_steps", 1)
        parts.append(change(settings, "gradient_accumulation_steps", 2 * now))
    return f"set {joined(parts)}; and look at the rows of those steps"


def until(settings: Settings, epochs: Series, step: int) -> str:
    """A training that ends at a step, by the setting the recipe uses for its length; at step 0, a slower one."""
    if step == 0:
        return slower(settings, _SLOWER)
    if settings.get("max_steps"):
        return change(settings, "max_steps", step)
    there = epochs.until(step)
    if len(there):
        return change(settings, "num_train_epochs", float(there.values[-1]))
    return f"{settings.place}max_steps to {step}"


def longer(settings: Settings, epochs: Series, factor: float) -> str:
    """A longer training, by the setting the recipe uses for its length."""
    if settings.get("max_steps"):
        return change(settings, "max_steps", factor * settings.get("max_steps"))
    now = settings.get("num_train_epochs") or (math.ceil(epochs.values[-1]) if len(epochs) else None)
    if now is None:
        return f"{settings.place}max_steps to {factor:g} times as many"
    return f"{settings.place}num_train_epochs from {short(now)} to {short(factor * now)}"


def faster(settings: Settings) -> str:
    """A learning rate that has an effect: the default, or ten times the present one if that is no lower."""
    now, usual = settings.get("learning_rate") or 0.0, SftSettings.model_fields["learning_rate"].default
    return change(settings, "learning_rate", usual if now < usual else 10 * now)


def denser(settings: Settings) -> str:
    """More frequent evaluations, on more questions."""
    validation = settings.below("validation")
    if not validation.values:
        return "evaluate again, on more questions"
    asked, every = validation.get("questions"), validation.get("every")
    changes = [change(validation, "questions", 4 * asked)] if asked else []
    changes += [change(validation, "every", max(1, every // 2))] if every else []
    return f"set {joined(changes)}"


def anchored(settings: Settings) -> str | None:
    """A beta that keeps GRPO closer to its start model; None if one is set already."""
    return change(settings, "beta", _BETA) if settings.get("beta") == 0 else None


def answer_first(settings: Settings) -> str:
    """A higher weight of the answer against the reasoning before it."""
    return change(settings, "answer_weight", _ANSWER * settings.get("answer_weight", 1.0))


def _upwards(number: float) -> float:
    """The number rounded up to one significant digit: 0.37 becomes 0.4."""
    unit = 10.0 ** math.floor(math.log10(number))
    return math.ceil(number / unit) * unit
