"""Models side by side: figures, differences, and what they say in plain sentences.

answers.py   evaluations read and put in one order, refused where they are not of the same questions
build.py     figures and tests
words.py     the sentences that the terminal, the run's description and the report share
"""

from orchestrator.comparison.answers import Evaluated, questions_of
from orchestrator.comparison.build import compare_evaluated
from orchestrator.comparison.pairs import baseline, compare_one_run, differences
from orchestrator.comparison.types import ComparedModel, Comparison, ModelDifference
from orchestrator.comparison.words import conclusions, contaminated, how_tested, remarks, untold

__all__ = [
    "ComparedModel",
    "Comparison",
    "Evaluated",
    "ModelDifference",
    "baseline",
    "compare_evaluated",
    "compare_one_run",
    "conclusions",
    "contaminated",
    "differences",
    "how_tested",
    "questions_of",
    "remarks",
    "untold",
]
