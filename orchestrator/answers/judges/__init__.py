"""The judges a recipe may name."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from orchestrator.answers.judges.base import BaseJudge
from orchestrator.answers.judges.choice import ChoiceJudge
from orchestrator.answers.judges.exact import ExactJudge
from orchestrator.answers.judges.math import MathJudge
from orchestrator.answers.judges.numeric import NumericJudge
from orchestrator.answers.judges.sequence import SequenceJudge

__all__ = ["JUDGES", "BaseJudge", "ChoiceJudge", "ExactJudge", "Judge", "MathJudge", "NumericJudge", "SequenceJudge"]

JUDGES: dict[str, type[BaseJudge]] = {
    "numeric": NumericJudge,
    "exact": ExactJudge,
    "choice": ChoiceJudge,
    "sequence": SequenceJudge,
    "math": MathJudge,
}


def _type_of(judge: Any) -> Any:
    return judge.get("type", "numeric") if isinstance(judge, dict) else getattr(judge, "type", None)


if TYPE_CHECKING:
    Judge = BaseJudge
else:
    _tagged = (Annotated[judge, Tag(name)] for name, judge in JUDGES.items())
    Judge = Annotated[reduce(or_, _tagged), Discriminator(_type_of)]
"""Any judge as written in a recipe: `{tolerance: 0.01}`, `{type: exact, casefold: true}`; the default is numeric."""
