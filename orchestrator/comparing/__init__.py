"""`compare` as a function: which runs, which of their models, against what.

past_runs.py    the runs of a store
past_models.py  the evaluated models of a run
made_from.py    what a model was made from
variants.py     seeds of one recipe put together, labels
alike.py        were they asked and judged in the same way
"""

from orchestrator.comparing.compare import compare, compare_run

__all__ = ["compare", "compare_run"]
