"""How busy a sweep keeps the GPUs of a real Ray session, fractional GPUs included.

    python -m benchmarks.gpus [--trials 40] [--gpus 8] [--seconds 40] [--share 1.0]

The session declares GPUs that need not exist: stages hold them for a fixed time without using them. Each trial of the
sweep trains once and is then evaluated in four shards, which together take as long, so trainings and evaluations
compete. Ray, the scheduler, the sweep and the MLflow store are real. The benchmark measures the share of GPU time that
calls hold, from when all GPUs are first held until the trials' last wave begins; starting a worker counts as idle.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.held import hold
from benchmarks.simulated import busy, output
from orchestrator.commands.sweep import carry_out
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.cluster import Cluster, connect, disconnect
from orchestrator.runs.crew import Call, Crew
from orchestrator.runs.state import StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.runs.worker_log import Logged
from orchestrator.stages.base import put_together
from orchestrator.stages.context import Output
from orchestrator.store.opening import open_store
from orchestrator.sweeps.search import Search
from orchestrator.sweeps.variants import Variants

RECIPE = """\
name: held-gpus
task: {type: units, demonstrations: {generate: 60}, train: {generate: 20}, validation: {generate: 20},
       test: {generate: 20}}
model: {name: tiny}
stages:
  rft: {type: sft, learning_rate: 1e-3, resources: {cpus: 1, gpus: SHARE}}
evaluate: {batch_size: 5, resources: {cpus: 1, gpus: SHARE}}
sweep:
  parameters:
    stages.rft.learning_rate: [VALUES]
"""


def made(call: Logged) -> Output:
    """The output of a stage that has computed nothing."""
    return output(*call.argument[:2], lambda spec, context: [True] * 20)


@dataclass(frozen=True)
class HoldingCluster(Cluster):
    """Ray's machines, except that a stage's calls do nothing but hold their GPUs for a time."""

    folder: str
    seconds: float

    def submit(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int, **how: Any) -> Crew:
        held = (hold, (self.folder, self.seconds / len(calls)))
        instead: list[Call] = [(made, call) if call.function is put_together else held for _, call in calls]
        return super().submit(instead, cpus, gpus, retries)


class Trials:
    """Records when the last trial ended: the winner's test comes after that."""

    def __init__(self) -> None:
        self.ended = float("inf")

    def __call__(self, search: Search | None, states: list[StageState]) -> None:
        if search is not None and search.phase != "trials":
            self.ended = min(self.ended, time.time())


def main() -> None:
    """Run the sweep, and print how busy its GPUs were."""
    parser = argparse.ArgumentParser(description="A sweep on GPUs that are held but not used.")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=40.0, help="duration of a training, and of an evaluation")
    parser.add_argument("--share", type=float, default=1.0, help="share of a GPU that a call requests")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)  # so that workers can import the calls' functions
    os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": 8 * arguments.gpus, "GPU": arguments.gpus})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        values = ", ".join(f"{1e-6 * (number + 1):.7f}" for number in range(arguments.trials))
        (folder / "recipe.yaml").write_text(RECIPE.replace("VALUES", values).replace("SHARE", str(arguments.share)))
        (folder / "spans").mkdir()
        variants = Variants(load_recipe(folder / "recipe.yaml"))
        ray = connect()
        cluster = HoldingCluster(
            ray.cores, ray.total_cores, ray.gpus, ray.joined, ray.machines, str(folder / "spans"), arguments.seconds
        )
        trials = Trials()
        try:
            found = carry_out(variants, open_store(create=True), WorkFolder(folder / "work"), cluster, trials, ())
        finally:
            disconnect()
        assert not found.errors, found.errors[0]
        told = [json.loads(file.read_text()) for file in (folder / "spans").iterdir()]
        os.chdir("/")
    spans = [(began, ended) for _, began, ended in told if began < trials.ended]
    used = {gpu for gpus, *_ in told for gpu in gpus}
    slots = int(arguments.gpus // arguments.share)
    print(
        f"{arguments.trials} trials, {len(spans)} calls on {len(used)} GPUs, {arguments.share:g} of one each: held "
        f"{busy(spans, slots):.1%} of the time until the last wave"
    )


if __name__ == "__main__":
    main()
