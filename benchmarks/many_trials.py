"""How long it takes to plan many trials, and how many requests the store gets for it.

    python -m benchmarks.many_trials [--trials 200]

Trials over the learning rate of GRPO: ten stages each, of which two are a trial's own and eight are shared by all. The
store is one in memory that counts requests, first empty and then with every stage finished.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.plan.plan import TrialsPlan, compile_trials
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store.base import Store
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import VERB_TAG, key_tag

RECIPE = """\
name: many-trials
task: {type: units, demonstrations: {generate: 60}, train: {generate: 300}, test: {generate: 500}}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 1e-3}
  samples: {type: sample, model: sft, n: 8}
  chosen:  {type: select, from: samples}
  control: {type: select, from: samples, keep: random}
  rft:     {type: sft, data: chosen, learning_rate: 1e-3}
  grpo:    {type: grpo, model: rft}
"""
_COUNTED = ("runs", "find", "experiments", "artifact", "output", "history", "address")
"""Methods that are requests of a store behind a server."""


class CountingStore(MemoryStore):
    """A store in memory that counts the requests it gets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.requests: Counter[str] = Counter()
        for name in _COUNTED:
            setattr(self, name, self._counted(name, getattr(self, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.requests[name] += 1
            return method(*arguments, **named)

        return call


def planned(trials: int, folder: Path) -> tuple[TrialsPlan, float]:
    """The plan of all trials, and the seconds it took from the recipe's file on."""
    file = folder / "r.yaml"
    file.write_text(RECIPE)
    began = time.perf_counter()
    recipe = load_recipe(file)
    plan = compile_trials(recipe, [{"stages.grpo.learning_rate": 1e-7 * (i + 1)} for i in range(trials)])
    return plan, time.perf_counter() - began


def finish_all(store: Store, plan: TrialsPlan, folder: Path) -> None:
    """Give the store a finished run with an output for every stage of the plan."""
    experiment = store.experiment(plan.recipe.name)
    for stage in plan.stages:
        run_id = store.start(experiment, stage.run_name, {VERB_TAG: stage.verb}, {})
        path = folder / run_id / stage.output
        if stage.spec.makes_model:
            path.mkdir(parents=True)
            for name in ("adapter_config.json", "adapter_model.safetensors"):
                (path / name).write_text("{}")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("rows")
        store.log_folder(run_id, folder / run_id, stage.output)
        store.log(run_id, {}, {key_tag(stage): stage.key})
        store.end(run_id, "FINISHED")


def main() -> None:
    """Print the seconds of planning, and seconds and requests of the look-up of all keys."""
    parser = argparse.ArgumentParser(description="Many trials of one recipe.")
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan, seconds = planned(trials, folder)
        asked = sum(len(trial.plan.stages) for trial in plan.trials)
        print(f"{trials} trials, {asked:,} stages, {len(plan.stages):,} distinct keys: planned in {seconds:.2f} s")
        store = CountingStore(folder / "store")
        for state in ("empty", "full"):
            if state == "full":
                finish_all(store, plan, folder / "made")
                store.requests.clear()
            began = time.perf_counter()
            cached = store.finished(stage for trial in plan.trials for stage in trial.plan.stages)
            took, n = time.perf_counter() - began, store.requests.total()
            print(
                f"{state} store: {len(cached):,} keys found in {took:.2f} s with {n:,} requests, "
                f"{n / len(plan.stages):.2f} for each distinct key"
            )
            store.requests.clear()


if __name__ == "__main__":
    main()
