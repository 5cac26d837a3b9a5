"""Sweeps on a simulated cluster with an in-memory store: a recipe, models of a given skill, a way to run it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.simulated import SimulatedCluster, cluster
from orchestrator.commands.sweep import carry_out
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import SweepResult
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.stages.context import Context
from orchestrator.store.base import Store
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.variants import Variants

RECIPE = """\
name: simulated
task: {type: units, demonstrations: {generate: 40}, train: {generate: 40}, validation: {generate: 20},
       test: {generate: 20}}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 1e-3}
  rft: {type: sft, model: sft, learning_rate: 1e-3, weight_decay: 0.0}
sweep:
"""
QUESTIONS = {"validation": 300, "test": 500}


def variants(folder: Path, sweep: str) -> Variants:
    file = folder / "recipe.yaml"
    file.write_text(RECIPE + "".join(f"  {line}\n" for line in sweep.splitlines()))
    return Variants(load_recipe(file))


def run(
    tried: Variants,
    store: Store,
    folder: Path,
    machines: SimulatedCluster | None = None,
    watch: Callable[[Search | None, list[StageState]], None] = lambda search, states: None,
) -> SweepResult:
    return carry_out(tried, store, WorkFolder(folder / "work"), machines or cluster(4, 0.0), watch, ())


def answers(skill: Callable[[dict[str, Any]], float], seed: int) -> Callable[[Any, Context], Sequence[bool]]:
    """Models of that skill: a question is equally hard for all, and each answer has its own randomness."""
    drawn = np.random.default_rng(seed)
    easy = {split: drawn.normal(size=n) for split, n in QUESTIONS.items()}

    def right(spec: Any, context: Context) -> Sequence[bool]:
        settings = context.stages["rft"].model_dump(exclude={"resources": {"workers"}})  # they do not affect results
        luck = np.random.default_rng([seed, crc32(repr((settings, spec.on)).encode())])
        on = easy[spec.on]
        chance = 1 / (1 + np.exp(-(on + np.log(skill(settings) / (1 - skill(settings))))))
        return list(luck.random(len(on)) < chance)

    return right
