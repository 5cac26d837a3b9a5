"""Invented training curves: healthy ones of every kind, and sick ones with a known problem. All are seeded."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

Curves = dict[str, list[tuple[int, float]]]
LINEAR = {"learning_rate": 2e-3, "warmup_steps": 0.0, "max_grad_norm": 1.0, "adam_beta2": 0.999, "max_steps": 400}
"""Settings of the SFT stage that the invented curves belong to."""
GRPO = {"learning_rate": 5e-4, "warmup_steps": 0.0, "max_grad_norm": 1.0, "max_steps": 100, "beta": 0.0}


def _points(steps: np.ndarray, values: np.ndarray) -> list[tuple[int, float]]:
    return [(int(s), float(v)) for s, v in zip(steps, values, strict=True)]


def _noise(rng: Generator, n: int, size: float) -> np.ndarray:
    """Factors around 1, with heavy tails in one of three curves, as with small batches."""
    drawn = rng.standard_t(4, n) / np.sqrt(2) if rng.random() < 1 / 3 else rng.normal(size=n)
    return np.exp(size * drawn)


def fall(rng: Generator, at: np.ndarray, start: float, end: float) -> np.ndarray:
    """A loss without noise at fractions `at` of a long enough training: exponential, power law, or in steps."""
    kind = rng.integers(3)
    if kind == 0:
        course = np.exp(-at / rng.uniform(0.03, 0.22))
    elif kind == 1:
        course = (1 + at / rng.uniform(0.01, 0.05)) ** -rng.uniform(0.7, 1.5)
    else:  # one step per epoch: the loss drops as soon as rows are seen again
        epochs = rng.integers(3, 9)
        stair = np.floor(at * epochs) / epochs
        course = np.exp(-(0.6 * stair + 0.4 * at) / rng.uniform(0.1, 0.22))
    warm = rng.uniform(0, 0.08)  # little changes during warm-up
    course = np.where(at < warm, 1.0, np.interp(np.maximum(at - warm, 0), at, course))
    return end + (start - end) * course


def healthy_sft(seed: int) -> Curves:
    """A training that went well: from the base model or a trained one, short or long, logged often or rarely."""
    rng = np.random.default_rng(seed)
    n, every = int(np.exp(rng.uniform(np.log(8), np.log(400)))), int(rng.integers(1, 21))
    steps = every * np.arange(1, n + 1)
    at = steps / steps[-1]
    start = rng.uniform(0.3, 5.0)
    end = start * (rng.uniform(0.6, 0.95) if start < 1 else rng.uniform(0.02, 0.7))
    clean = fall(rng, at, start, end)
    curves = {"loss": _points(steps, clean * _noise(rng, n, rng.uniform(0.01, 0.2)))}
    curves["grad_norm"] = _points(steps, rng.uniform(0.2, 3) * _noise(rng, n, 0.3))
    curves["learning_rate"] = _points(steps, 2e-3 * (1 - at))
    if rng.random() < 0.7:
        m = int(min(n, rng.integers(2, 31)))
        chosen = np.unique(np.linspace(0, n - 1, m + 1).round().astype(int)[1:])
        drift = np.cumsum(rng.normal(size=len(chosen))) * rng.uniform(0, 0.004)  # random drift between evaluations
        over = 1 + rng.uniform(0, 0.05) * np.maximum(at[chosen] - 0.6, 0) / 0.4  # rises a little: harmless
        held_out = clean[chosen] * rng.uniform(0.95, 1.4) * (1 + drift) * over * _noise(rng, len(chosen), 0.005)
        curves["eval_loss"] = _points(steps[chosen], held_out)
        best, onset, asked = rng.uniform(0.2, 0.97), rng.uniform(-0.2, 0.5), int(rng.integers(60, 500))
        true = best / (1 + np.exp(-(at[chosen] - onset) / rng.uniform(0.04, 0.12)))
        curves["eval_accuracy"] = _points(steps[chosen], rng.binomial(asked, true) / asked)
    return curves


def healthy_grpo(seed: int) -> Curves:
    """A reward that rises, or stays at its ceiling, with noise from the sampled questions."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 200))
    steps = np.arange(1, n + 1)
    at = steps / n
    begin = rng.uniform(0.05, 0.8)
    end = begin + rng.uniform(0, 0.95 - begin)
    true = end - (end - begin) * np.exp(-at / rng.uniform(0.1, 0.8))
    curves = {"reward": _points(steps, np.clip(true + rng.normal(size=n) * rng.uniform(0.02, 0.12), 0, 1))}
    curves["loss"] = _points(steps, rng.normal(size=n) * 0.02)
    chosen = np.unique(np.linspace(0, n - 1, int(rng.integers(2, 16)) + 1).round().astype(int)[1:])
    asked = int(rng.integers(60, 500))
    held_out = np.clip(true[chosen] * rng.uniform(0.8, 1.05), 0, 1)
    curves["eval_accuracy"] = _points(steps[chosen], rng.binomial(asked, held_out) / asked)
    return curves


def _sft(rng: Generator, n: int, evaluations: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, fractions of the training, and the indices of the points that are evaluated."""
    steps = 5 * np.arange(1, n + 1)
    return steps, steps / steps[-1], np.linspace(0, n - 1, evaluations + 1).round().astype(int)[1:]


def _told(rng: Generator, steps: np.ndarray, at: np.ndarray, loss: np.ndarray, noise: float) -> Curves:
    """A loss with the metrics logged alongside it."""
    return {
        "loss": _points(steps, np.maximum(loss * _noise(rng, len(at), noise), 1e-4)),
        "learning_rate": _points(steps, 2e-3 * (1 - at)),
        "grad_norm": _points(steps, 0.8 * _noise(rng, len(at), 0.2)),
        "epoch": _points(steps, 10 * at),
    }


def overfitted(rng: Generator) -> Curves:
    """The evaluation loss turns upward after a third."""
    steps, at, chosen = _sft(rng, int(rng.integers(20, 80)), int(rng.integers(8, 20)))
    curves = _told(rng, steps, at, 0.02 + 3 * np.exp(-at / 0.2), 0.1)
    held_out = 0.8 + 2 * np.exp(-at / 0.1) + rng.uniform(0.5, 1.5) * np.maximum(at - 0.35, 0)
    return curves | {"eval_loss": _points(steps[chosen], (held_out * _noise(rng, len(at), 0.01))[chosen])}


def left_the_minimum(rng: Generator) -> Curves:
    """Both losses rise together at 60% and stay there."""
    steps, at, chosen = _sft(rng, int(rng.integers(20, 80)), int(rng.integers(6, 16)))
    up = rng.uniform(0.5, 1.2) / (1 + np.exp(-(at - 0.6) / 0.02))
    clean = 0.3 + 2.7 * np.exp(-at / 0.12) + up
    curves = _told(rng, steps, at, clean, 0.08)
    return curves | {"eval_loss": _points(steps[chosen], (1.1 * clean * _noise(rng, len(at), 0.02))[chosen])}


def left_unseen(rng: Generator) -> Curves:
    """The same without evaluations."""
    curves = left_the_minimum(rng)
    del curves["eval_loss"]
    return curves


def with_spikes(rng: Generator) -> Curves:
    """Two to four isolated points far above the rest."""
    steps, at, _ = _sft(rng, int(rng.integers(30, 120)), 5)
    clean = 0.3 + 2.7 * np.exp(-at / 0.15)
    curves = _told(rng, steps, at, clean, 0.04)
    for place in rng.choice(np.arange(3, 10), int(rng.integers(2, 5)), replace=False):
        index = int(len(at) * place / 12)
        step, value = curves["loss"][index]
        curves["loss"][index] = step, value + float(clean[index]) * rng.uniform(1.2, 3)
    return curves


def gone(rng: Generator) -> Curves:
    """The loss turns upward early and ends above its start."""
    steps, at, _ = _sft(rng, int(rng.integers(12, 80)), 5)
    clean = 3 - 2 * np.exp(-(((at - 0.2) / 0.12) ** 2)) + rng.uniform(1, 4) * np.maximum(at - 0.3, 0)
    return _told(rng, steps, at, clean, 0.08)


def flat(rng: Generator) -> Curves:
    """The loss stays where it began."""
    steps, at, _ = _sft(rng, int(rng.integers(10, 80)), 5)
    return _told(rng, steps, at, rng.uniform(1.5, 5) * (1 - 0.01 * at), rng.uniform(0.002, 0.02))


def lone_last(rng: Generator) -> Curves:
    """Everything is fine except the last evaluation."""
    steps, at, chosen = _sft(rng, int(rng.integers(20, 80)), int(rng.integers(7, 16)))
    clean = 0.3 + 2.7 * np.exp(-at / 0.12)
    curves = _told(rng, steps, at, clean, 0.05)
    held_out = (1.1 * clean * _noise(rng, len(at), 0.01))[chosen]
    held_out[-1] *= rng.choice([0.5, 1.6, 2.5])
    return curves | {"eval_loss": _points(steps[chosen], held_out)}


def words_only(rng: Generator) -> Curves:
    """The loss falls and levels off; accuracy stays near zero."""
    steps, at, chosen = _sft(rng, int(rng.integers(20, 80)), int(rng.integers(6, 16)))
    clean = 0.3 + 2.7 * np.exp(-at / 0.15)
    asked, true = 200, rng.uniform(0, 0.1)
    curves = _told(rng, steps, at, clean, 0.05)
    curves["eval_loss"] = _points(steps[chosen], (1.1 * clean * _noise(rng, len(at), 0.01))[chosen])
    return curves | {"eval_accuracy": _points(steps[chosen], rng.binomial(asked, true, len(chosen)) / asked)}


def cut_short(rng: Generator) -> Curves:
    """The loss is still falling at the last step."""
    steps, at, _ = _sft(rng, int(rng.integers(24, 80)), 5)
    return _told(rng, steps, at, 0.2 + 3.5 * np.exp(-at / rng.uniform(0.5, 1.0)), 0.04)


def hacked(rng: Generator) -> Curves:
    """The reward rises to the end; held-out accuracy falls after the first third."""
    n = int(rng.integers(30, 120))
    steps = np.arange(1, n + 1)
    at, asked = steps / n, 300
    chosen = np.linspace(0, n - 1, int(rng.integers(8, 16)) + 1).round().astype(int)[1:]
    reward = np.clip(0.4 + 0.4 * at + rng.normal(size=n) * 0.04, 0, 1)
    true = 0.5 - rng.uniform(0.3, 0.45) * np.maximum(at[chosen] - 0.33, 0)
    return {
        "reward": _points(steps, reward),
        "eval_accuracy": _points(steps[chosen], rng.binomial(asked, true) / asked),
    }


def collapsed(rng: Generator) -> Curves:
    """The reward rises, then collapses."""
    n = int(rng.integers(20, 120))
    steps = np.arange(1, n + 1)
    at = steps / n
    true = (0.3 + 0.5 * at) / (1 + np.exp((at - 0.6) / 0.03))
    return {"reward": _points(steps, np.clip(true + rng.normal(size=n) * 0.04, 0, 1))}


SICK: dict[str, tuple[str, Callable[[Generator], Curves]]] = {
    "overfitted": ("overfitting", overfitted),
    "left the minimum": ("training-unstable", left_the_minimum),
    "left it, without evaluations": ("training-unstable", left_unseen),
    "spikes": ("loss-spikes", with_spikes),
    "diverged": ("loss-too-high", gone),
    "flat": ("nothing-learned", flat),
    "last evaluation alone": ("last-evaluation-alone", lone_last),
    "words only": ("answers-not-learned", words_only),
    "cut short": ("too-short", cut_short),
    "hacked reward": ("reward-not-accuracy", hacked),
    "collapsed reward": ("reward-collapsed", collapsed),
}
"""Name -> the expected finding, and the curves."""
