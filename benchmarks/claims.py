"""Many processes that ask for the same stages at once: how often each is made, and what happens when its owner dies.

    python -m benchmarks.claims [--processes 50] [--seconds 5]

Every process walks the same plan of two stages, whose calls do nothing for so many seconds, on one MLflow store and one
work folder. First all are left alone. Then, on another store, the one that makes the first stage is killed in the midst
of it. Printed are how often stages were begun and made, whether all got the same, and how long the stage lay idle.
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
    """Writes down who begins calls on a GPU, and when."""

    folder: Path

    def submit(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int, **how: Any) -> Any:
        if gpus:
            with (self.folder / "begun").open("a") as file:
                file.write(f"{os.getpid()} {time.time()}\n")
        return super().submit(calls, cpus, gpus, retries)


@dataclass(frozen=True)
class Asked:
    """What came of it."""

    begun: list[tuple[int, float]]
    """For each time that a stage was begun: by which process, and when."""
    origins: list[dict[str, str]]
    """For each process that came to its end: by stage, the run that holds what it got."""
    killed: float | None
    """When the first owner was."""

    @property
    def idle(self) -> float:
        """Seconds from the owner's death until its stage was begun again."""
        assert self.killed is not None
        return min(at for _, at in self.begun if at > self.killed) - self.killed


def make_store(folder: Path) -> None:
    """Make an empty store."""
    os.chdir(folder)
    open_store(create=True)


def ask(folder: Path, number: int, seconds: float) -> None:
    """Walk the plan, and write down what was got."""
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
    """Have so many processes ask; `kill`: the first that makes a stage is killed after half of it."""
    (folder / "recipe.yaml").write_text(RECIPE)
    fork = multiprocessing.get_context("fork")  # what is imported here takes memory once
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
    """Print what comes of both."""
    parser = argparse.ArgumentParser(description="Processes that ask for the same stages at once.")
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a stage takes")
    arguments = parser.parse_args()
    for kill in (False, True):
        with tempfile.TemporaryDirectory() as name:
            found = asked_at_once(Path(name), arguments.processes, arguments.seconds, kill)
        same = "all the same" if all(one == found.origins[0] for one in found.origins) else "NOT the same"
        taken = f"; the killed owner's stage was begun again after {found.idle:.1f} s" if kill else ""
        print(
            f"{arguments.processes} processes, 2 stages: begun {len(found.begun)} times, got by {len(found.origins)} "
            f"processes, {same}{taken}"
        )


if __name__ == "__main__":
    main()
