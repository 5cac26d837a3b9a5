"""What the pages of a run, of one seed or of several, have in common: header, conclusion, accuracies, recipe."""

from datetime import UTC, datetime
from typing import Any

from orchestrator.comparison import ModelDifference, conclusions
from orchestrator.comparison.palette import BROKEN, FIXED, model_colours
from orchestrator.figures import p_value
from orchestrator.report.facts import About


def about(facts: About, script: str = "'none'") -> dict[str, Any]:
    """What the template `report.html.j2` is filled with; `script` is the source that its policy lets run."""
    return {
        "f": facts,
        "sentences": conclusions(facts.comparison),
        "colours": model_colours(facts.labels),
        "fixed": FIXED,
        "broken": BROKEN,
        "against": _against(facts.comparison.differences),
        "further": [(c, conclusions(c), _against(c.differences)) for c in facts.also],
        "p": p_value,
        "started": _when(datetime.fromtimestamp(facts.started, UTC)),
        "made": _when(datetime.now(UTC)),
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {script}",
    }


def _against(differences: tuple[ModelDifference, ...]) -> dict[str, ModelDifference]:
    return {d.label: d for d in differences}


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
