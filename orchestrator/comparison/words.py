"""A comparison in plain sentences, the same in the terminal, the run's description, the report and the card.

`conclusions` go above the table, usually one or two sentences; `remarks` go below it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

from orchestrator.comparison.types import ComparedModel, Comparison, ModelDifference
from orchestrator.figures import p_equals, points, questions_told
from orchestrator.health.power import PREDICTED
from orchestrator.stages import STAGES
from orchestrator.types import BASE, Finding

_TOO_GOOD = {
    "test-in-training": ("error", "warning", "info"),  # info if the recipe ignores it
    "not-the-model": ("error", "warning", "info"),
    "near-duplicates": ("error", "warning"),
}
"""Findings that make an accuracy meaningless, and the severities at which they do."""
_CALLED = {"near-duplicates": "Near-duplicates", "not-the-model": "Unreliable"}
"""How a sentence on such a finding begins; the others begin with "Contaminated"."""
_SPOKEN = re.compile(rf"(?:rft|{'|'.join(name for name, verb in STAGES.items() if verb.SPOKEN)})\d*(?= |$)")
"""Labels that are written in capitals."""
_LISTED = 3
"""Maximum number of models that a sentence names, and of its clauses."""


def conclusions(comparison: Comparison) -> tuple[str, ...]:
    """The result: one or two sentences, plus one for each finding that makes accuracies too good to be true.

    Plain text: labels are written as in the recipe, so the caller has to escape the sentences.
    """
    return tuple(_lead(comparison))


def remarks(comparison: Comparison) -> tuple[str, ...]:
    """What else to know: what is left out, what a gain consists of, how far the result holds."""
    return tuple(_remarks(comparison))


def contaminated(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Findings that make accuracies too good to be true, one sentence each; ignored findings count too."""
    found = (finding for finding in findings if finding.severity in _TOO_GOOD.get(finding.check, ()))
    return tuple(dict.fromkeys(f"{_CALLED.get(one.check, 'Contaminated')}: {one.what}" for one in found))


def untold(findings: Iterable[Finding], said: Sequence[str], compared: bool) -> tuple[Finding, ...]:
    """The findings not already in the sentences `said`; `compared`: the comparison has differences.

    Once models are compared, predictions of what a test of this size can show are dropped: the answers themselves show
    it better.
    """
    news = (finding for finding in findings if not (compared and finding.check in PREDICTED))
    return tuple(finding for finding in news if not any(finding.what in sentence for sentence in said))


def how_tested(comparisons: int, several_seeds: bool, drawn: bool = False) -> str:
    """How p was computed: `p: exact McNemar test, corrected for 3 comparisons (Holm); intervals are not corrected`.

    `drawn`: each question was answered several times.
    """
    alone = "t-test on each question's share of right answers" if drawn else "exact McNemar test"
    between = "t-test over questions" if drawn else "McNemar's"
    test = f"t-test over seeds and questions, {between} between single models" if several_seeds else alone
    corrected = f", corrected for {comparisons} comparisons (Holm); intervals are not corrected"
    return f"p: {test}{corrected if comparisons > 1 else ''}"


def name(label: str) -> str:
    """A label in running text: SFT, RFT and GRPO in capitals, `the base model` for `base`, any other unchanged."""
    model, space, rest = label.partition(" ")
    spoken = "the base model" if model == BASE else model.upper() if _SPOKEN.fullmatch(model) else model
    return f"{spoken}{' with ' if space and not rest.startswith('(') else space}{rest}"


# --- above the table


def _lead(comparison: Comparison) -> Iterator[str]:
    if comparison.trained and not any(m.accuracy for m in comparison.trained):
        yield "No trained model answered a single question correctly: run `orch diagnose` to find the cause."
    if comparison.ranked:
        yield from _ranking(comparison)
    else:
        groups = [group for group in _told(comparison) if group]
        missed = [place for place, group in enumerate(groups) if any(_outcome(d) == "same" for d in group)]
        every = [d for group in groups for d in group]
        for place, group in enumerate(groups):
            end = _detectable(comparison, every) if missed and place == missed[-1] else ""
            yield _sentence("; ".join(_clauses(comparison, group)) + end)
    if any(d.seeds_alone for d in comparison.differences):
        yield "These models differ only in their seed: the result says nothing about different recipes."
    yield from comparison.contaminated


def _told(comparison: Comparison) -> tuple[list[ModelDifference], list[ModelDifference]]:
    """The differences that sentences cover; with several baselines, only those between models of one name, if any."""
    ours, of_base = _forwards(comparison)
    if len({d.baseline for d in comparison.differences}) == 1:
        return ours, of_base
    model = {m.label: m.model for m in comparison.models}
    alike = [d for d in ours if model[d.label] == model[d.baseline]]
    return (alike, []) if alike else (ours, of_base)


def _forwards(comparison: Comparison) -> tuple[list[ModelDifference], list[ModelDifference]]:
    """All differences as people state them: trained models against the baseline, it against the base model."""
    seeds = {m.label: m.seeds for m in comparison.models}
    of_base = [d for d in comparison.differences if seeds[d.baseline] and not seeds[d.label]]
    return [d for d in comparison.differences if d not in of_base], [_turned(d) for d in of_base]


def _turned(d: ModelDifference) -> ModelDifference:
    """The same difference in the opposite direction."""

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


_Outcome = Literal["better", "worse", "open", "same"]
"""The outcome of a comparison; `open`: the interval excludes 0, but the difference is not significant."""


def _outcome(d: ModelDifference) -> _Outcome:
    if d.shown:
        return "better" if d.difference > 0 else "worse"
    return "open" if d.low > 0 or d.high < 0 else "same"


def _clauses(comparison: Comparison, differences: Sequence[ModelDifference]) -> Iterator[str]:
    """A clause for each outcome and baseline, significant differences first."""
    groups: dict[tuple[_Outcome, str], list[ModelDifference]] = {}
    for outcome in get_args(_Outcome):
        for d in differences:
            if _outcome(d) == outcome:
                groups.setdefault((outcome, d.baseline), []).append(d)
    every = list(groups.values())
    yield from (_clause(comparison, found, _listed([name(d.label) for d in found])) for found in every[:_LISTED])
    if rest := sum(map(len, every[_LISTED:])):
        yield f"{rest} more {'comparison is' if rest == 1 else 'comparisons are'} in the table"


def _clause(comparison: Comparison, found: Sequence[ModelDifference], who: str) -> str:
    """`RFT and GRPO are better than SFT: +20.2 points (...) and +25.4 (...)`; all with one outcome and one baseline."""
    several, outcome, theirs = len(found) > 1, _outcome(found[0]), name(found[0].baseline)
    verb, figures = "are" if several else "is", _figures(comparison, found)
    if outcome in ("better", "worse"):
        return f"{who} {verb} {outcome} than {theirs}: {figures}"
    if outcome == "same":
        return f"{who} {'do' if several else 'does'} not differ significantly from {theirs}: {figures}"
    ways = {"better" if d.difference > 0 else "worse" for d in found}
    way = f"{ways.pop()} than" if len(ways) == 1 else "different from"
    return f"{who} {verb} not significantly {way} {theirs}: {figures}; {_why_open(comparison, found)}"


def _why_open(comparison: Comparison, found: Sequence[ModelDifference]) -> str:
    """Why differences whose intervals exclude 0 are not significant."""
    alone = _listed([p_equals(d.p) for d in found])
    if any(d.p >= 0.05 for d in found):
        return f"the interval excludes 0, but the test, which is stricter, is not significant ({alone})"
    what = "each of these differences" if len(found) > 1 else "the difference"
    n = len(comparison.differences)
    return f"{what} would be significant on its own ({alone}), but not after correcting for {n} comparisons"


def _figures(comparison: Comparison, found: Sequence[ModelDifference]) -> str:
    """The figures of several differences; n and seeds are given with the first, and again whenever they change."""
    texts: list[str] = []
    told = ""
    for d in found[:_LISTED]:
        asked, first = _asked(comparison, d), not texts
        inside = f"{'95% interval ' if first else ''}{points(d.low)} to {points(d.high)}, {p_equals(d.p_corrected)}"
        inside += f", {asked}" if asked != told else ""
        texts.append(f"{points(d.difference, sign=True)}{' points' if first else ''} ({inside})")
        told = asked
    if len(found) > _LISTED:
        texts.append(f"{len(found) - _LISTED} more in the table")
    return _listed(texts, most=len(texts))


def _asked(comparison: Comparison, d: ModelDifference) -> str:
    by_label = {m.label: m for m in comparison.models}
    sides = (by_label[d.label], by_label[d.baseline])
    seeds = [len(m.seeds) for m in sides]
    asked = f"n = {questions_told(d.n, sides[0].answers_each)}" if comparison.drawn else f"n = {d.n:,}"
    if max(seeds) <= 1:
        return asked
    return f"{asked}, " + (f"{seeds[0]} seeds each" if seeds[0] == seeds[1] else " against ".join(map(_made, sides)))


def _made(model: ComparedModel) -> str:
    """The number of models behind a label."""
    if not model.seeds:
        return "one model"
    return f"{len(model.seeds)} seed{'s' if len(model.seeds) > 1 else ''}"


def _detectable(comparison: Comparison, differences: Sequence[ModelDifference]) -> str:
    """The largest of the detectable differences of the comparisons that show no difference, as one figure."""
    missed = [d for d in differences if _outcome(d) == "same"]
    known = [d.detectable for d in missed if d.detectable is not None]
    if not missed:
        return ""
    if len(known) < len(missed):
        seeds = any(len(m.seeds) > 1 for m in comparison.models)
        what = f"{missed[0].n:,} questions{' and this many seeds' if seeds else ''}"
        return f"; no difference is detectable with {what}"
    return f"; the smallest detectable difference is {points(max(known))} points"


def _ranking(comparison: Comparison) -> Iterator[str]:
    """The model with the highest accuracy, and how the others compare with the baseline."""
    best, baseline, count = comparison.models[0], comparison.differences[0].baseline, len(comparison.differences)
    figures = f"{best.accuracy:.3f} (95% interval {best.accuracy_low:.3f} to {best.accuracy_high:.3f})"
    lead = f"{name(best.label)} has the highest accuracy of {len(comparison.models)} models, {figures}"
    ours, _ = _forwards(comparison)
    more = [_clause(comparison, [d], "it") for d in ours if d.label == best.label]
    yield _sentence("; ".join([lead, *more, *(["it is the baseline"] if best.label == baseline else [])]))
    rest = [d for d in ours if d.label != best.label]
    if outcomes := Counter(map(_outcome, rest)):
        yield f"{_counted(outcomes, name(baseline), count)}{_detectable(comparison, rest)}."


def _counted(outcomes: Counter[_Outcome], baseline: str, comparisons: int) -> str:
    """`Of the other 7 trained models, 4 are better than SFT, 1 is worse and 2 do not differ significantly`."""
    parts: list[str] = []
    total = outcomes.total()
    for outcome in ("better", "worse", "same", "open"):
        if n := outcomes[outcome]:
            than, of = ("", "") if parts else (f" than {baseline}", f" from {baseline}")
            are, do = ("is", "does") if n == 1 else ("are", "do")
            parts.append(
                {
                    "better": f"{are} better{than}",
                    "worse": f"{are} worse{than}",
                    "same": f"{do} not differ significantly{of}",
                    "open": f"{do} not differ significantly{of} after correcting for {comparisons} comparisons, though "
                    "the interval excludes 0",
                }[outcome]
            )
            if n == total:
                return f"The other {f'{n} trained models' if n > 1 else 'trained model'} {parts[0]}"
            parts[-1] = f"{n} {parts[-1]}"
    return f"Of the other {total} trained models, {_listed(parts, most=len(parts))}"


# --- below it


def _remarks(comparison: Comparison) -> Iterator[str]:
    yield from (f"Left out: {text}" for text in comparison.left_out)
    ours, of_base = _told(comparison)
    if comparison.ranked:
        ours, of_base = [d for d in ours if d.label == comparison.models[0].label], []
        yield "The best of many is also the luckiest: run it with other seeds before you rely on its lead."
    yield from (text for d in (*ours, *of_base) if d.shown for text in _parts(d, comparison))
    yield from _seeds(comparison)


def _parts(d: ModelDifference, comparison: Comparison) -> Iterator[str]:
    """What a significant difference consists of."""
    ours, theirs = name(d.label), name(d.baseline)
    if d.by_answering is None or d.by_being_right is None:
        answered = {m.label: m.answer_rate for m in comparison.models}
        mute = theirs if answered[d.label] else ours
        change = "gain" if d.difference > 0 else "drop"
        yield (
            f"None of {mute}'s answers could be parsed, so the {change} cannot be split into answer rate and accuracy."
        )
        return
    gain, share = d.difference > 0, d.answering_share
    change = f"{ours}'s {'gain over' if gain else 'drop relative to'} {theirs}"
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
    """How far the result holds, given the number of seeds."""
    several = [m for m in comparison.trained if m.seed_sd is not None]
    known = [(m.label, m.seed_sd, len(m.seeds)) for m in several if m.seed_sd is not None]
    known += list(comparison.seed_sd_elsewhere)
    if known:
        told = "; ".join(f"{name(label)} {points(sd)} over {n} seeds" for label, sd, n in known)
        yield f"Standard deviation of accuracy across seeds, in points: {told}."
    if len(several) < len(comparison.trained) and comparison.differences:
        where = "Models with one seed" if several else "One seed each"
        yield f"{where}: the result holds for these models, not for the recipes." + (
            "" if known else " Add `seeds: [0, 1, 2]` to the recipe to measure seed variance."
        )


# --- words


def _listed(texts: Sequence[str], most: int = _LISTED) -> str:
    """`a`, `a and b`, `a, b and c`; a long list is cut: `a, b, c and 4 more`."""
    shown = [*texts[:most], *([f"{len(texts) - most} more"] if len(texts) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _sentence(text: str) -> str:
    """Add a period. Names are not capitalized even at the beginning, but the `the` of `the base model` is."""
    return f"{'T' if text.startswith('the ') else text[0]}{text[1:]}."
