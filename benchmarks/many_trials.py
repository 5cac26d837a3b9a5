"""How long planning many trials takes, how many store requests it needs, and how long GPUs wait for work.

    python -m benchmarks.many_trials [--trials 200] [--walked 40] [--gpus 8] [--latency 0.04]

Trials over the learning rate of GRPO, with ten stages each: two of the trial's own and eight shared by all. Planning
uses an in-memory store that counts requests, first empty and then with every stage finished. Then some of the trials
are walked on a simulated cluster, whose GPU calls take two seconds and do nothing; each store request takes
`--latency` seconds. The benchmark measures how long a stage is ready and a GPU free before its call begins.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulated import CountingStore, cluster
from orchestrator.plan.plan import TrialsPlan, compile_trials
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.state import StageState
from orchestrator.runs.trials import TrialsRecord
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
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


def planned(trials: int, folder: Path) -> tuple[TrialsPlan, float]:
    """The plan of all trials, and the seconds it took, including loading the recipe."""
    file = folder / "r.yaml"
    file.write_text(RECIPE)
    began = time.perf_counter()
    recipe = load_recipe(file)
    plan = compile_trials(recipe, [{"stages.grpo.learning_rate": 1e-7 * (i + 1)} for i in range(trials)])
    return plan, time.perf_counter() - began


def finish_all(store: Store, plan: TrialsPlan, folder: Path) -> None:
    """Add to the store a finished run with an output for every stage of the plan."""
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
        digests = store.log_folder(run_id, folder / run_id, stage.output)
        store.log(run_id, {}, digests | {key_tag(stage): stage.key})
        store.end(run_id, "FINISHED")


class _Timed(Branch):
    """A branch that records when each of its stages was first found ready."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ready_since: dict[str, float] = {}

    def ready(self, state: StageState) -> bool:
        found = super().ready(state)
        if found:
            self.ready_since.setdefault(state.stage.name, time.monotonic())
        return found


@dataclass(frozen=True)
class Walked:
    """The outcome of a walk over trials."""

    seconds: float
    calls: int
    waits: list[float]
    """For each GPU stage, the seconds during which it was ready and its GPU was free."""


def walked(trials: int, gpus: int, seconds: float, store: Store, folder: Path) -> Walked:
    """Walk over trials that differ in GRPO's learning rate; `seconds` is the duration of a GPU call."""
    folder.mkdir(exist_ok=True)
    plan, _ = planned(trials, folder)
    above = TrialsRecord(store, plan)
    walk = Walk([], store, WorkFolder(folder / "work"), cluster(gpus, seconds), lambda states: None)
    branches = [
        _Timed(t.plan, Record(store, t.plan, (), walk.writer.submit, above.parent, t, above.shown), (), t.title)
        for t in plan.trials
    ]
    walk.branches += branches
    began = time.monotonic()
    walk.go()
    took = time.monotonic() - began
    states = [(branch, state) for branch in branches for state in branch.states.values()]
    failed = [state.error for _, state in states if state.error]
    assert not failed, failed[0]
    on_gpus = [(b, s) for b, s in states if s.started is not None and s.stage.spec.ON_GPU]
    on_gpus.sort(key=lambda one: one[1].started or 0.0)
    machine = walk.cluster.machine
    waits = [
        call.begins - max(call.free_since, branch.ready_since[state.stage.name])
        for call, (branch, state) in zip(machine.first_calls, on_gpus, strict=True)
    ]
    return Walked(took, machine.calls, waits)


def main() -> None:
    """Print the time of planning, the time and requests of looking up all keys, and the waits for GPUs."""
    parser = argparse.ArgumentParser(description="Many trials of one recipe.")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--walked", type=int, default=40, help="trials to walk")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.04, help="seconds per store request")
    arguments = parser.parse_args()
    trials = arguments.trials
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
        slow = CountingStore(folder / "walked", arguments.latency)
        found = walked(arguments.walked, arguments.gpus, 2.0, slow, folder)
    waits = sorted(found.waits)
    print(
        f"walk: {arguments.walked} trials on {arguments.gpus} GPUs in {found.seconds:.1f} s, {found.calls} calls of "
        f"2 s, {slow.requests.total():,} requests of {1000 * arguments.latency:.0f} ms\n"
        f"a ready stage waits {1000 * waits[len(waits) // 2]:.0f} ms for a free GPU (median), "
        f"{1000 * waits[-1]:.0f} ms at most"
    )


if __name__ == "__main__":
    main()
