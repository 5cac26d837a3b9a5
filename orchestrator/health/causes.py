"""In which order to believe findings: what breaks a run first stands before what follows from it."""

from collections.abc import Iterable

from orchestrator.types import Finding

CAUSES = (
    "base-damaged",
    "base-not-finite",
    "model-missing",
    "adapter-missing",
    "adapter-empty",
    "adapter-damaged",
    "merged-twice",
    "adapter-other-base",
    "adapter-not-finite",
    "set-up-refused",
    "format-changed",
    "columns-swapped",
    "answers-shifted",
    "demonstrations-alike",
    "gold-constant",
    "gold-round-trip",
    "test-in-training",
    "answer-in-prompt",
    "chat-template-missing",
    "tokenizer-loses-text",
    "double-bos",
    "opening-in-prompt",
    "prompts-differ",
    "labels-masked",
    "end-not-trained",
    "rows-too-long",
    "lora-target-missing",
    "lora-target-tied",
    "loss-not-finite",
    "gradient-not-finite",
    "learning-rate-zero",
    "groups-alike",
    "completions-clipped",
    "adapter-zero",
    "padding-mixed-up",
    "adapter-not-attached",
    "not-the-model",
    "answers-cut-off",
    "context-too-small",
    "loss-too-high",
    "nothing-learned",
    "training-unstable",
    "reward-collapsed",
    "overfitting",
    "reward-not-accuracy",
    "loss-spikes",
    "last-evaluation-alone",
    "too-short",
    "answers-not-learned",
    "loss-too-low",
    "never-stops",
    "answer-rate-zero",
    "accuracy-zero",
    "accuracy-fell",
    "judge-fails",
    "stage-failed",
)
"""Causes first, then their symptoms; what is not named comes after both."""


def likeliest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order to believe them; notes at the end."""
    place = {check: number for number, check in enumerate(CAUSES)}
    return tuple(sorted(findings, key=lambda f: (f.severity == "info", place.get(f.check, len(CAUSES)))))
