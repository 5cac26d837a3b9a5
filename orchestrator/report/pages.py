"""A run as one HTML page: its results, and the questions, curves and draws behind each figure.

A single file that includes its styles and a small script and fetches nothing. It is complete without the script.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from orchestrator.report.about import about
from orchestrator.report.clipping import Clip, clip
from orchestrator.report.curve_figure import curve_figure
from orchestrator.report.difficulty import by_expectation, by_others
from orchestrator.report.facts import Asked, RunFacts, Sampling
from orchestrator.report.flow import KINDS, WORDS, Flow, first_pair, flows, in_turns
from orchestrator.report.flow_shape import Bar, Ribbon, bars, ribbons
from orchestrator.report.html import environment
from orchestrator.stats import wilson

AT_ONCE = 20
"""Number of questions that the page shows at first, and adds on request."""
_ROOM = 1_500_000
"""Maximum characters of questions and completions on a page; the rest stays in the store."""
_AROUND = 450
"""Characters of HTML around each text."""
_BINS = 10
"""Bins of a histogram if there are more draws than that."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two models, and the flow of questions between them as a figure."""

    flow: Flow
    name: str
    """Positions of the two among the models: `0-2`."""
    ribbons: list[Ribbon]
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class _Card:
    """One question with each model's completion, as the page shows it."""

    asked: Asked
    question: Clip
    texts: dict[str, Clip]


def run_page(facts: RunFacts) -> str:
    """The complete page of a single-seed run."""
    made = environment()
    pair = first_pair(facts.recipe, facts.labels)
    script = made.get_template("run.js.j2").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    cards, left_out = _cards(facts, pair)
    return made.get_template("run.html.j2").render(
        about(facts, f"'sha256-{digest}'"),
        pairs=[_Pair(f, _pair_name(facts, f.before, f.after), ribbons(f), bars(f)) for f in _flows(facts)],
        first=_pair_name(facts, *pair) if pair else "",
        kinds=KINDS,
        words=WORDS,
        expectation=by_expectation(facts.asked, facts.labels, facts.expected),
        others=by_others(facts.asked, facts.labels) if len(facts.labels) > 1 else [],
        trainings=[(t, Markup(svg) if (svg := curve_figure(t.curves)) else None) for t in facts.trainings],
        samplings=[(s, wilson(s.covered, len(s.right)), _histogram(s)) for s in facts.samplings],
        status_names=_every_status(facts),
        cards=cards,
        left_out=left_out,
        at_once=AT_ONCE,
        script=Markup(script),
    )


def _flows(facts: RunFacts) -> list[Flow]:
    return flows(facts.asked, facts.labels)


def _pair_name(facts: RunFacts, before: str, after: str) -> str:
    return f"{facts.labels.index(before)}-{facts.labels.index(after)}"


def _every_status(facts: RunFacts) -> list[str]:
    """The statuses that occur, correct and wrong first."""
    known = ("correct", "wrong", "unparsed", "truncated", "timeout", "error")
    return [status for status in known if any(counts.get(status) for counts in facts.statuses.values())]


def _histogram(sampling: Sampling) -> list[tuple[str, int]]:
    """The number of questions for each number of correct draws; in `_BINS` steps if there are more draws than that."""
    counts, n = Counter(sampling.right.values()), sampling.draws
    if n <= _BINS:
        return [(f"{right} of {n}", counts[right]) for right in range(n + 1)]
    found = [("none", counts[0])]
    edges = [round(n * step / _BINS) for step in range(_BINS + 1)]
    for low, high in pairwise(edges):
        label = f"{low + 1} to {high} of {n}" if high > low + 1 else f"{high} of {n}"
        found.append((label, sum(counts[right] for right in range(low + 1, high + 1))))
    return found


def _cards(facts: RunFacts, pair: tuple[str, str] | None) -> tuple[list[_Card], int]:
    """The questions that fit on the page, alternating between kinds, and the number left out."""
    ordered: Sequence[Asked] = in_turns(facts.asked, pair)
    cards: list[_Card] = []
    room = _ROOM
    for asked in ordered:
        card = _Card(asked, clip(asked.question), {m: clip(a.text) for m, a in asked.answers.items()})
        room -= sum(text.size + _AROUND for text in (card.question, *card.texts.values()))
        if room < 0 and len(cards) >= AT_ONCE:
            break
        cards.append(card)
    return cards, len(ordered) - len(cards)
