"""Models side by side, paired by question."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from orchestrator.plan import Plan
from orchestrator.recipe import BASE
from orchestrator.results import Difference
from orchestrator.stats import mcnemar, paired_difference


def baseline(plan: Plan) -> str:
    """What the others are compared with: the first SFT model that is evaluated, else the base model."""
    evaluated = plan.recipe.models()
    return next((s.name for s in plan.stages if s.verb == "sft" and s.name in evaluated), BASE)


def differences(results: Mapping[str, Path], against: str) -> tuple[Difference, ...]:
    """Each model against the baseline; `results` holds the file of each model's evaluation."""
    right = {model: _correct(file) for model, file in results.items()}
    if against not in right:
        return ()
    return tuple(_difference(m, against, right[m], right[against]) for m in right if m != against)


def _correct(file: Path) -> dict[str, bool]:
    table = pq.read_table(file, columns=["example_id", "status"])
    return {row["example_id"]: row["status"] == "correct" for row in table.to_pylist()}


def _difference(model: str, against: str, ours: Mapping[str, bool], theirs: Mapping[str, bool]) -> Difference:
    ids: Sequence[str] = [i for i in ours if i in theirs]
    wins = sum(ours[i] and not theirs[i] for i in ids)
    losses = sum(theirs[i] and not ours[i] for i in ids)
    difference, low, high = paired_difference(wins, losses, len(ids))
    return Difference(model, against, difference, low, high, mcnemar(wins, losses), wins, losses)
