"""In which order to believe findings: what breaks a run first stands before what follows from it."""

from collections.abc import Iterable

from orchestrator.types import Finding

CAUSES = (
    "recipe-damaged",
    "base-damaged",
    "base-incomplete",
    "base-not-finite",
    "model-missing",
    "adapter-missing",
    "adapter-empty",
    "adapter-damaged",
    "merged-twice",
    "adapter-other-base",
    "adapter-not-finite",
    "output-damaged",
    "output-missing",
    "look-failed",
    "set-up-refused",
    "format-changed",
    "columns-swapped",
    "answers-shifted",
    "demonstrations-alike",
    "gold-constant",
    "verdict-fails",
    "end-in-target",
    "gold-round-trip",
    "wrong-answer-accepted",
    "test-in-training",
    "answer-in-prompt",
    "token-without-embedding",
    "chat-template-missing",
    "template-drops-question",
    "template-drops-system",
    "template-opens-thinking",
    "template-end-not-trained",
    "template-turn-not-opened",
    "answer-marks-special",
    "special-token-in-target",
    "special-token-in-question",
    "stop-is-special",
    "tokenizer-loses-text",
    "double-bos",
    "opening-in-prompt",
    "label-not-token",
    "prompts-differ",
    "targets-differ",
    "labels-masked",
    "labels-shifted",
    "end-not-trained",
    "rows-too-long",
    "lora-target-missing",
    "lora-target-tied",
    "lora-target-head",
    "lora-target-unused",
    "too-few-questions",
    "too-few-rows",
    "warmup-too-long",
    "warmup-ignored",
    "draws-are-noise",
    "draws-alike",
    "loss-not-finite",
    "gradient-not-finite",
    "learning-rate-zero",
    "weights-unmoved",
    "loss-too-high",
    "nothing-learned",
    "too-short",
    "training-unstable",
    "draws-identical",
    "groups-alike",
    "completions-clipped",
    "adapter-zero",
    "padding-mixed-up",
    "adapter-not-attached",
    "not-the-model",
    "verdicts-changed",
    "judge-changed",
    "answers-cut-off",
    "context-too-small",
    "reward-collapsed",
    "overfitting",
    "reward-not-accuracy",
    "loss-spikes",
    "last-evaluation-alone",
    "answers-not-learned",
    "loss-too-low",
    "never-stops",
    "runs-on-after-answer",
    "decimal-commas",
    "answer-rate-zero",
    "judge-too-strict",
    "accuracy-zero",
    "accuracy-fell",
    "judge-fails",
    "file-damaged",
    "output-changed",  # whatever is found in the changed file itself says more
    "stage-failed",
)
"""Causes first, then their symptoms; what is not named comes after both."""
_PARTIAL = ("answers-cut-off",)
"""As a warning these speak of a few rows, which explains nothing that all rows have in common."""


def likeliest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order to believe them; notes at the end."""
    place = {check: number for number, check in enumerate(CAUSES)}

    def order(finding: Finding) -> tuple[bool, int]:
        partial = finding.severity == "warning" and finding.check in _PARTIAL
        return finding.severity == "info", len(CAUSES) if partial else place.get(finding.check, len(CAUSES))

    return tuple(sorted(findings, key=order))
