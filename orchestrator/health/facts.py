"""Plain facts about a weak model, which come before any theory: the number of training steps and of test questions.

Knows no model and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.health.curves.advice import Settings, change, longer, short
from orchestrator.health.curves.series import Point, Series
from orchestrator.health.diagnosis import Measured
from orchestrator.stats import detectable_difference
from orchestrator.training.settings import GrpoSettings, SftSettings
from orchestrator.types import BASE, Finding

FEW_STEPS = 20
"""Fewer steps than this test the setup rather than train a model."""
_WEAK = 0.5
"""Accuracy below which a model is weak."""
_LEARNED = 0.3
"""Nats per token below which a model writes worked solutions with few slips: a lack of steps is not its problem."""
_ROSE = 1.2
"""A loss that ends above this many times its first value diverged: more steps would not help."""
_WIDE = 0.2
"""A confidence interval wider than this cannot tell a bad model from a mediocre one."""
_DISCORDANT = 0.25
"""The share of questions on which two models are assumed to differ."""
_WILD = 30.0
"""A learning rate more than this many times the usual one is assumed to be the cause of an overflow."""


def few_steps(
    stage: str, headline: str, curves: Mapping[str, Sequence[Point]], settings: Mapping[str, Any], measured: Measured
) -> Finding | None:
    """The finding for a weak model that was trained for only a few steps; `headline` is its verb's main curve."""
    curve = Series.of(curves.get(headline, ()))
    if not len(curve) or measured.accuracy >= _WEAK or (steps := int(curve.steps[-1])) >= FEW_STEPS:
        return None
    began, ends = float(curve.values[0]), float(curve.values[-1])
    if headline == "loss" and (ends < _LEARNED or ends > _ROSE * began):
        return None
    seen = f"{headline} {ends:.2f} at step {steps}"
    if len(curve) > 1:
        seen = f"{headline} {began:.2f} at step {curve.steps[0]}, {ends:.2f} at step {steps}"
        seen += ": it has not come down yet" if headline == "loss" and ends >= began else ""
    low, high = measured.accuracy_low, measured.accuracy_high
    seen += f"; accuracy {measured.accuracy:.3f} [{low:.3f}, {high:.3f}] on {measured.n:,} questions"
    read = Settings(settings, f"stages.{stage}.")
    return Finding(
        "few-steps",
        "warning",
        f"model {stage} was trained for only {steps} {'step' if steps == 1 else 'steps'}",
        seen,
        "so few steps are enough to try out a setup, but not to learn a task: any other finding may follow from this",
        f"set {longer(read, Series.of(curves.get('epoch', ())), 10)}, then diagnose again",
    )


def few_questions(measured: Sequence[Measured], on: str) -> Finding | None:
    """The finding for models evaluated on too few questions to tell how good they are."""
    widths = {m.model: m.accuracy_high - m.accuracy_low for m in measured if m.source == "evaluation"}
    wide = [m for m in measured if widths.get(m.model, 0.0) > _WIDE and m.model != BASE]
    if not wide:
        return None
    worst = max(wide, key=lambda m: widths[m.model])
    shown = detectable_difference(worst.n, _DISCORDANT)
    able = "no difference can be seen" if shown is None else f"no difference below {100 * shown:.0f} points can be seen"
    listed = ", ".join(f"{m.model} {m.accuracy:.3f} [{m.accuracy_low:.3f}, {m.accuracy_high:.3f}]" for m in measured)
    return Finding(
        "test-too-small",
        "warning",
        f"only {worst.n:,} questions were asked, too few to tell how good a model is: the accuracy of {worst.model} "
        f"may be anything from {worst.accuracy_low:.2f} to {worst.accuracy_high:.2f}",
        f"95% intervals: {listed}; between two models, {able}",
        "on so few questions, chance moves the figures more than most changes to a recipe do",
        f"evaluate on 500 questions or more: make task.{on} larger",
    )


def overflow(finding: Finding, settings: Mapping[str, Any], place: str) -> Finding:
    """A finding on numeric overflow, with the learning rate as its cause if that is out of all proportion."""
    rate = settings.get("learning_rate") or 0.0
    kind = GrpoSettings if settings.get("lora", {}) is None or settings.get("type") == "grpo" else SftSettings
    usual = float(kind.model_fields["learning_rate"].default)
    if rate <= _WILD * usual or finding.check not in ("loss-not-finite", "gradient-not-finite"):
        return finding
    return replace(
        finding,
        cause=f"learning_rate is {short(rate)}, but {short(usual)} is usual: each step moves the weights so far that "
        "numbers overflow",
        remedy=f"set {change(Settings(settings, place), 'learning_rate', usual)}",
    )
