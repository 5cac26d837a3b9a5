"""The order in which to believe findings: root causes before their consequences."""

from collections.abc import Iterable

from orchestrator.types import Finding

CAUSES = (
    "recipe-damaged",
    "base-damaged",
    "base-incomplete",
    "base-not-finite",
    "loss-not-finite",
    "gradient-not-finite",
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
    "stage-failed",
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
    "learning-rate-zero",
    "weights-unmoved",
    "loss-too-high",
    "nothing-learned",
    "too-short",
    "few-steps",
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
    "prompts-too-long",
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
    "output-changed",  # findings about the changed file's content say more
)
"""Causes first, then their symptoms; checks not listed here come after both."""
_FACTS = ("test-too-small",)
"""These come first if nothing is broken: figures that prove nothing need no other explanation."""
_BROKEN = ("accuracy-zero", "answer-rate-zero", "answers-not-learned")
"""Warnings that still mean something is broken: if not a single answer is right, that is not chance."""
_PARTIAL = ("answers-cut-off",)
"""As warnings, these concern a few rows, which cannot explain what all rows have in common."""


def likeliest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order in which to believe them; informational ones last."""
    found = list(findings)
    place = {check: number for number, check in enumerate(CAUSES)}
    if all(finding.severity != "error" and finding.check not in _BROKEN for finding in found):
        place |= dict.fromkeys(_FACTS, -1)

    def order(finding: Finding) -> tuple[bool, int]:
        partial = finding.severity == "warning" and finding.check in _PARTIAL
        return finding.severity == "info", len(CAUSES) if partial else place.get(finding.check, len(CAUSES))

    return tuple(sorted(found, key=order))
