"""The common parts of the pages of a run, of one or several seeds: header, conclusion, accuracies, recipe."""

from datetime import UTC, datetime
from typing import Any

from orchestrator.comparison import Comparison, ModelDifference, conclusions, how_tested, remarks, untold
from orchestrator.comparison.palette import BROKEN, FIXED, model_colours
from orchestrator.figures import p_value
from orchestrator.report.facts import About
from orchestrator.types import Finding


def about(facts: About, script: str = "'none'") -> dict[str, Any]:
    """The variables of the template `report.html.j2`; `script` is the script source that its policy allows."""
    said, compared = conclusions(facts.comparison), facts.comparison
    several = any(len(m.seeds) > 1 for m in compared.models)
    return {
        "f": facts,
        "sentences": said,
        "remarks": remarks(facts.comparison),
        "tested": how_tested(len(compared.differences), several, compared.drawn),
        "findings": _news(facts),
        "colours": model_colours(facts.labels),
        "fixed": FIXED,
        "broken": BROKEN,
        "against": _against(facts.comparison.differences),
        "further": [
            (c, conclusions(c), _new_remarks(c, facts.comparison), _against(c.differences)) for c in facts.also
        ],
        "p": p_value,
        "started": _when(datetime.fromtimestamp(facts.started, UTC)),
        "made": _when(datetime.now(UTC)),
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {script}",
    }


def _news(facts: About) -> tuple[Finding, ...]:
    """The findings to list, including those that a conclusion already names, for their evidence."""
    return untold(facts.findings, (), bool(facts.comparison.differences))


def _new_remarks(further: Comparison, first: Comparison) -> list[str]:
    known = remarks(first)
    return [text for text in remarks(further) if text not in known]


def _against(differences: tuple[ModelDifference, ...]) -> dict[str, ModelDifference]:
    return {d.label: d for d in differences}


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
