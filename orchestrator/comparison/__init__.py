"""Models compared side by side: figures, differences, and conclusions in plain sentences.

answers.py   reads evaluations and aligns them by question; refuses them if the questions differ
build.py     figures and tests
words.py     the sentences shared by the terminal, the run's description and the report
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
