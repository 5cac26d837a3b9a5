"""Many processes that request the same stages at once: how often each stage runs, and what if its owner dies.

    python -m benchmarks.claims [--processes 50] [--seconds 5]

Every process walks the same plan of two stages, whose calls do nothing for `--seconds`, on one MLflow store and one
work folder. First, all are left alone. Then, on another store, the process that runs the first stage is killed halfway
through. Printed: how often stages were started, whether all processes got the same outputs, and how long the killed
owner's stage was idle.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulated import SimulatedCluster, cluster
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.crew import Call
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.work import WorkFolder
from orchestrator.store.mlflow import MlflowStore  # noqa: F401  # before processes are forked
from orchestrator.store.opening import open_store

RECIPE = """\
name: claimed
task: {type: units, demonstrations: {generate: 60}, test: {generate: 20}}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 1e-3}
evaluate: {models: [sft]}
"""


@dataclass(frozen=True)
class NotedCluster(SimulatedCluster):
    """Records which process starts calls on a GPU, and when."""

    folder: Path

    def submit(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int, **how: Any) -> Any:
        if gpus:
            with (self.folder / "begun").open("a") as file:
                file.write(f"{os.getpid()} {time.time()}\n")
        return super().submit(calls, cpus, gpus, retries)


@dataclass(frozen=True)
class Asked:
    """The outcome of one round."""

    begun: list[tuple[int, float]]
    """Each start of a stage: the process, and the time."""
    origins: list[dict[str, str]]
    """For each process that finished: the run that holds each stage's output, by stage."""
    killed: float | None
    """When the first owner was killed."""

    @property
    def idle(self) -> float:
        """Seconds from the owner's death until its stage was started again."""
        assert self.killed is not None
        return min(at for _, at in self.begun if at > self.killed) - self.killed


def make_store(folder: Path) -> None:
    """Create an empty store."""
    os.chdir(folder)
    open_store(create=True)


def ask(folder: Path, number: int, seconds: float) -> None:
    """Walk the plan, and record which runs the outputs came from."""
    os.chdir(folder)
    plan, store = compile_plan(load_recipe("recipe.yaml")), open_store(create=True)
    plain = cluster(1, seconds)
    machines = NotedCluster(64, 64, 1.0, False, ((64, 1.0),), machine=plain.machine, folder=folder)
    walk = Walk([], store, WorkFolder(folder / "work"), machines, lambda states: None)
    record = Record(store, plan, (), walk.writer.submit)
    walk.branches.append(branch := Branch(plan, record))
    walk.go()
    assert branch.result is not None and not branch.result.errors
    (folder / f"got-{number}").write_text(json.dumps(record.origins))


def asked_at_once(folder: Path, processes: int, seconds: float, kill: bool) -> Asked:
    """Run the processes; with `kill`, the first one that starts a stage is killed halfway through it."""
    (folder / "recipe.yaml").write_text(RECIPE)
    fork = multiprocessing.get_context("fork")  # imported modules take memory only once
    first = fork.Process(target=make_store, args=(folder,))  # a connection must not be forked
    first.start()
    first.join()
    children = [fork.Process(target=ask, args=(folder, number, seconds)) for number in range(processes)]
    for child in children:
        child.start()
    killed = None
    if kill:
        while not (folder / "begun").exists():
            time.sleep(0.01)
        time.sleep(seconds / 2)
        owner = int((folder / "begun").read_text().split()[0])
        killed = time.time()
        os.kill(owner, signal.SIGKILL)
    for child in children:
        child.join()
    told = [line.split() for line in (folder / "begun").read_text().splitlines()]
    origins = [json.loads(file.read_text()) for file in folder.glob("got-*")]
    return Asked([(int(pid), float(at)) for pid, at in told], origins, killed)


def main() -> None:
    """Print the outcome of both rounds."""
    parser = argparse.ArgumentParser(description="Processes that request the same stages at once.")
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of a stage")
    arguments = parser.parse_args()
    for kill in (False, True):
        with tempfile.TemporaryDirectory() as name:
            found = asked_at_once(Path(name), arguments.processes, arguments.seconds, kill)
        same = "all the same" if all(one == found.origins[0] for one in found.origins) else "NOT the same"
        taken = f"; the killed owner's stage was started again after {found.idle:.1f} s" if kill else ""
        print(
            f"{arguments.processes} processes, 2 stages: started {len(found.begun)} times, {len(found.origins)} "
            f"processes got their outputs, {same}{taken}"
        )


if __name__ == "__main__":
    main()
