"""Models side by side, paired by question."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from orchestrator.plan import Plan
from orchestrator.recipe import BASE
from orchestrator.results import Difference
from orchestrator.stages.evaluate import RESULTS
from orchestrator.stats import mcnemar, paired_difference


def baseline(plan: Plan) -> str:
    """What the others are compared with: the first SFT model that is evaluated, else the base model."""
    evaluated = plan.recipe.models()
    return next((s.name for s in plan.stages if s.verb == "sft" and s.name in evaluated), BASE)


def differences(folders: Mapping[str, Path], against: str) -> tuple[Difference, ...]:
    """Each model against the baseline; `folders` holds the artifacts of each model's run."""
    right = {model: _correct(folder) for model, folder in folders.items()}
    if against not in right:
        return ()
    return tuple(_difference(m, against, right[m], right[against]) for m in right if m != against)


def _correct(folder: Path) -> dict[str, bool]:
    table = pq.read_table(folder / RESULTS, columns=["example_id", "status"])
    return {row["example_id"]: row["status"] == "correct" for row in table.to_pylist()}


def _difference(model: str, against: str, ours: Mapping[str, bool], theirs: Mapping[str, bool]) -> Difference:
    ids: Sequence[str] = [i for i in ours if i in theirs]
    wins = sum(ours[i] and not theirs[i] for i in ids)
    losses = sum(theirs[i] and not ours[i] for i in ids)
    difference, low, high = paired_difference(wins, losses, len(ids))
    return Difference(model, against, difference, low, high, mcnemar(wins, losses), wins, losses)
