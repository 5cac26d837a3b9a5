"""A comparison in plain sentences. The terminal, the run's description and the report say the same words."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from orchestrator.comparison.types import ComparedModel, Comparison, ModelDifference
from orchestrator.figures import p_equals, points
from orchestrator.stages import STAGES
from orchestrator.types import BASE, Finding

_TOO_GOOD = {
    "test-in-training": ("error", "warning", "info"),  # a mere information where the recipe has ignored it
    "not-the-model": ("error", "warning", "info"),
    "near-duplicates": ("error", "warning"),
}
"""Findings after which an accuracy is no measure of what a model can do, and with which severity."""
_CALLED = {"near-duplicates": "Near-duplicates"}
"""How a sentence on such a finding begins, where the test itself was not trained on."""
_SPOKEN = re.compile(rf"(?:rft|{'|'.join(name for name, verb in STAGES.items() if verb.SPOKEN)})\d*(?= |$)")
"""Labels that people write in capitals."""


def conclusions(comparison: Comparison) -> tuple[str, ...]:
    """What the comparison says, the most important first.

    Plain text: labels stand as the recipe has them, and whoever shows the sentences escapes them.
    """
    return tuple(_sentences(comparison))


def contaminated(findings: Iterable[Finding]) -> tuple[str, ...]:
    """What was found that makes accuracies too good to be true, one sentence each; ignored findings count too."""
    found = (finding for finding in findings if finding.severity in _TOO_GOOD.get(finding.check, ()))
    return tuple(dict.fromkeys(f"{_CALLED.get(one.check, 'Contaminated')}: {one.what}" for one in found))


def name(label: str) -> str:
    """A label as people say it: SFT, RFT and GRPO in capitals, `base` as what it is, any other as it is."""
    if label == BASE:
        return "the base model"
    return _SPOKEN.sub(lambda found: found[0].upper(), label, count=1) if _SPOKEN.match(label) else label


def _sentences(comparison: Comparison) -> Iterator[str]:
    models = {m.label: m for m in comparison.models}
    of_base = [d for d in comparison.differences if models[d.label].seeds == ()]
    ours = [*(d for d in comparison.differences if d not in of_base), *map(_forwards, of_base)]
    if comparison.trained and not any(m.accuracy for m in comparison.trained):
        yield "No trained model answered a single question right: `orch diagnose` looks for the cause."
    yield from (_verdict(d, models) for d in ours)
    yield from (text for d in ours if d.shown for text in _parts(d, models))
    yield from _seeds(comparison)
    if len(comparison.differences) > 1:
        yield f"p-values are corrected for {len(comparison.differences)} comparisons (Holm), intervals are not."
    yield from comparison.contaminated
    yield from (f"Left out: {text}" for text in comparison.left_out)


def _forwards(d: ModelDifference) -> ModelDifference:
    """The base model against one that was trained from it, the other way round: as people say it."""

    def less(part: float | None) -> float | None:
        return None if part is None else -part

    return replace(
        d,
        label=d.baseline,
        baseline=d.label,
        difference=-d.difference,
        low=-d.high,
        high=-d.low,
        wins=d.losses,
        losses=d.wins,
        bootstrap_low=-d.bootstrap_high,
        bootstrap_high=-d.bootstrap_low,
        by_answering=less(d.by_answering),
        by_being_right=less(d.by_being_right),
    )


def _verdict(d: ModelDifference, models: dict[str, ComparedModel]) -> str:
    ours, theirs = name(d.label), name(d.baseline)
    asked = f"n = {d.n:,}"
    sides = (models[d.label], models[d.baseline])
    seeds = [len(m.seeds) for m in sides]
    if max(seeds) > 1:
        asked += f", {seeds[0]} seeds each" if seeds[0] == seeds[1] else f", {' against '.join(map(_made, sides))}"
    figures = f"{points(d.difference, sign=True)} points (95% interval {points(d.low)} to {points(d.high)}, "
    figures += f"{p_equals(d.p_corrected)}, {asked})"
    if d.shown:
        verdict = f"{ours} is {'better' if d.difference > 0 else 'worse'} than {theirs}: {figures}"
        if d.seeds_alone:
            verdict += "; they differ in their seed alone, so these two models differ, not two recipes"
        return f"{verdict}."
    what = f"{d.n:,} questions" if max(seeds) <= 1 else f"{d.n:,} questions and this number of seeds"
    text = f"No significant difference between {ours} and {theirs}: {figures}"
    text += "; they differ in their seed alone." if d.seeds_alone else "."
    if d.detectable is None:
        return f"{text} With {what} no difference can be detected."
    return f"{text} With {what} the smallest detectable difference is {points(d.detectable)} points."


def _made(model: ComparedModel) -> str:
    """How many models stand for a label."""
    if not model.seeds:
        return "one model"
    return f"{len(model.seeds)} seed{'s' if len(model.seeds) > 1 else ''}"


def _parts(d: ModelDifference, models: dict[str, ComparedModel]) -> Iterator[str]:
    """What a difference that was shown is made of."""
    ours, theirs = name(d.label), name(d.baseline)
    if d.by_answering is None or d.by_being_right is None:
        mute = ours if not models[d.label].answer_rate else theirs
        change = "gain" if d.difference > 0 else "loss"
        yield f"None of {mute}'s answers could be parsed, so the {change} cannot be split."
        return
    gain, share = d.difference > 0, d.answering_share
    change = f"{ours}'s {'gain over' if gain else 'loss against'} {theirs}"
    often, accuracy = ("more", "higher") if gain else ("less", "lower")
    if share is not None:
        answering = round(100 * share) + 0  # no -0
        yield (
            f"{answering}% of {change} comes from answering {often} often, {100 - answering}% from {accuracy} accuracy "
            "on the answers it gave."
        )
    else:
        yield (
            f"Of {change}, {points(d.by_answering, sign=True)} points come from how often it answers and "
            f"{points(d.by_being_right, sign=True)} from its accuracy on the answers it gave."
        )


def _seeds(comparison: Comparison) -> Iterator[str]:
    """How far the seeds carry what was said."""
    several = [m for m in comparison.trained if m.seed_sd is not None]
    known = [(m.label, m.seed_sd, len(m.seeds)) for m in several if m.seed_sd is not None]
    known += list(comparison.seed_sd_elsewhere)
    if known:
        told = "; ".join(f"{name(label)} {points(sd)} over {n} seeds" for label, sd, n in known)
        yield f"Standard deviation of accuracy across seeds, in points: {told}."
    if len(several) < len(comparison.trained) and comparison.differences:
        where = "Where a model has one seed" if several else "One seed each"
        yield f"{where}: the result holds for these models, not for the recipes." + (
            "" if known else " Add seeds: [0, 1, 2] to the recipe to measure seed variance."
        )
