"""How busy a sweep keeps GPUs, and the cost of orchestrating one trial.

    python -m benchmarks.sweeps [--trials 200] [--walked 40] [--gpus 8]

First, some trials on a simulated cluster, whose GPU calls take two seconds and do nothing, with an in-memory store: the
share of time for which GPUs are busy, from when all of them first are (before that, trials wait for shared stages)
until the last trial's training begins. Then many trials whose stages take no time, with a real MLflow store on SQLite:
seconds per trial once a quarter of them is done, and the process's memory growth from there on.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.simulated import CountingStore, SimulatedCluster, busy, cluster
from orchestrator.commands.sweep import carry_out
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import SweepResult
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.opening import open_store
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.variants import Variants

RECIPE = """\
name: many-trials
task: {type: units, demonstrations: {generate: 60}, train: {generate: 100}, validation: {generate: 20},
       test: {generate: 20}}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 1e-3}
  samples: {type: sample, model: sft, n: 4}
  chosen:  {type: select, from: samples}
  rft:     {type: sft, data: chosen, learning_rate: 1e-3}
sweep:
  parameters:
    stages.rft.learning_rate: [VALUES]
  max_concurrent: OPEN
"""


_LAST = 4
"""Maximum number of calls of the test at the end."""


class Watch:
    """When each trial ended, and how large the process was then."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []
        self._process = psutil.Process()

    def __call__(self, search: Search | None, states: list[StageState]) -> None:
        complete = 0 if search is None else sum(trial.state == "complete" for trial in search.trials)
        if complete > len(self.ends):
            now = (time.monotonic(), self._process.memory_info().rss)
            self.ends += [now] * (complete - len(self.ends))


def swept(
    trials: int, at_once: int, machines: SimulatedCluster, store: Store, folder: Path, watch: Watch
) -> SweepResult:
    """Run a sweep over the learning rate of RFT."""
    values = ", ".join(f"{1e-6 * (number + 1):.7f}" for number in range(trials))
    file = folder / "recipe.yaml"
    file.write_text(RECIPE.replace("VALUES", values).replace("OPEN", str(at_once)))
    variants = Variants(load_recipe(file))
    found = carry_out(variants, store, WorkFolder(folder / "work"), machines, watch, ())
    assert not found.errors, found.errors[0]
    return found


def main() -> None:
    """Print both results."""
    parser = argparse.ArgumentParser(description="Sweeps on a simulated cluster.")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--walked", type=int, default=40, help="trials on GPUs")
    parser.add_argument("--gpus", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, machines = Path(name), cluster(arguments.gpus, 2.0)
        found = swept(arguments.walked, 2 * arguments.gpus, machines, CountingStore(folder / "store"), folder, Watch())
    calls, count = len(machines.machine.spans), found.stages
    used = busy(sorted(machines.machine.spans)[:-_LAST], arguments.gpus)
    print(
        f"{arguments.walked} trials on {arguments.gpus} GPUs, {calls} calls of 2 s, {count['distinct']} stages instead "
        f"of {count['asked']}: GPUs are busy {used:.1%} of the time"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, watch = Path(name), Watch()
        os.chdir(folder)
        swept(arguments.trials, 8, cluster(8, 0.0), open_store(create=True), folder, watch)
        first = arguments.trials // 4
        (began, before), (ended, after) = watch.ends[first], watch.ends[-1]
        each = (ended - began) / (len(watch.ends) - first)
        print(
            f"{arguments.trials} trials of stages that take no time, on MLflow: {each:.2f} s per trial from trial "
            f"{first} on, {(after - before) / 1e6:.0f} MB more at the end"
        )
        os.chdir("/")


if __name__ == "__main__":
    main()
