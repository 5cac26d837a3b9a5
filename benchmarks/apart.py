"""Three machines that share nothing, plus a team's store: do they get one machine's results, whatever fails?

    python -m benchmarks.apart [--alone FOLDER] [--recipe recipes/rft.yaml] [--away 120]

The recipe runs on one machine, unless `--alone` names a folder with such a run. It then runs on a cluster whose
machines each have their own address and mounts and see none of each other's folders, with a store on Postgres behind
`mlflow server`. The start model is in a folder that only the driver's machine has. One machine is lost while it
samples, another during RFT training, and the store is down for `--away` seconds during GRPO. Needs Debian's postgresql,
root and unshare.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.orch_calls import orch
from orchestrator.models.base import TINY
from orchestrator.store.mlflow import MlflowStore
from tests.conftest import command, environment
from tests.support.composed import Machine, missing
from tests.support.gate import Gate
from tests.support.machines import machines

_REPOSITORY = Path(__file__).parent.parent
_STORE = "MLFLOW_TRACKING_URI"


def result(run_id: str) -> dict[str, Any]:
    """A run's results: its completions, its models' figures, and the weights of the models it trained."""
    store = MlflowStore()
    found = store.children(run_id)
    rows = pq.read_table(store.artifact(found["samples"], "completions.parquet")).to_pylist()
    return {
        "completions": [(row["example_id"], row["draw"], row["text"]) for row in rows],
        "figures": {
            name: (run.metrics["accuracy"], run.metrics["answer_rate"])
            for name, run in found.items()
            if "accuracy" in run.metrics
        },
        "models": {
            name: store.artifact(run, "model/adapter_model.safetensors").read_bytes()
            for name, run in found.items()
            if name in ("sft", "rft", "grpo")
        },
    }


def until(there: Callable[[], object], run: "subprocess.Popen[bytes]") -> None:
    """Wait for a condition while a run is in progress."""
    while not there():
        if run.poll() is not None:
            raise SystemExit("the run ended before it could be disturbed")
        time.sleep(0.1)


def disturbed(recipe: Path, folder: Path, away: float) -> tuple[dict[str, Any], float]:
    """The results of a run on three machines, two of which are lost and replaced, and its duration in seconds."""
    driver = folder / "driver"
    driver.mkdir()
    shutil.copytree(TINY, driver / "start")
    with tempfile.TemporaryDirectory(prefix="store") as place, machines(folder) as cluster:
        server = Machine(Path(place))
        with server.stack:
            server.postgres()
            server.begin("mlflow", MLFLOW_SERVER_ALLOWED_HOSTS="*")
            gate = Gate(server.environment("orch")[_STORE])
            first, _ = cluster.start(), cluster.start()
            began = time.monotonic()
            with (driver / "output").open("wb") as output:
                run = subprocess.Popen(
                    command("run", str(recipe), f"model.name={driver / 'start'}"),
                    cwd=driver,
                    env=environment() | cluster.driver | {_STORE: gate.address},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            work = driver / "mlruns" / "work"

            def said(text: str) -> bool:
                return text in (driver / "output").read_text()

            try:
                until(lambda: said("samples            running") and list(work.glob("*/shard-*.parquet")), run)
                cluster.kill(first)
                cluster.start()
                print("a machine was lost while sampling", flush=True)
                until(
                    lambda: said("rft                running") and list(work.glob("*/checkpoints/*/.digests.json")), run
                )
                [log] = next(path.parent for path in work.glob("*/checkpoints/")).glob("logs/*.log")
                cluster.kill(cluster.that_runs(int(log.stem.rpartition("-")[2])))
                cluster.start()
                print("a machine was lost while training", flush=True)
                until(lambda: said("grpo               running"), run)
                gate.shut()
                time.sleep(away)
                gate.reopen()
                until(lambda: said("the store answers again"), run)
                print(f"the store was down for {away:.0f} s", flush=True)
                if run.wait() != 0:
                    raise SystemExit((driver / "output").read_text())
            finally:
                run.kill()
                run.wait()
            seconds = time.monotonic() - began
            os.environ[_STORE] = server.environment("orch")[_STORE]
            last = MlflowStore().last()
            assert last is not None
            os.chdir(driver)
            return result(last.run_id), seconds


def main() -> None:
    """Print whether both give the same results."""
    parser = argparse.ArgumentParser(description="Three machines that share nothing, compared with one.")
    parser.add_argument("--recipe", type=Path, default=_REPOSITORY / "recipes" / "rft.yaml")
    parser.add_argument("--alone", type=Path, help="folder with a finished single-machine run of the recipe")
    parser.add_argument("--away", type=float, default=120.0, help="seconds the store is down")
    asked = parser.parse_args()
    if (why := missing()) is not None:
        raise SystemExit(why)
    recipe = asked.recipe.resolve()
    with tempfile.TemporaryDirectory(prefix="apart") as name:
        alone = Path(name) / "alone" if asked.alone is None else asked.alone.resolve()
        if asked.alone is None:
            alone.mkdir()
            orch(alone, "run", str(recipe))
        os.chdir(alone)
        last = MlflowStore().last()
        assert last is not None
        ours = result(last.run_id)
        theirs, seconds = disturbed(recipe, Path(name), asked.away)
        os.chdir(_REPOSITORY)
    print(f"the run ended after {seconds:.0f} s")
    for what in ("completions", "figures", "models"):
        print(f"{what}: {len(ours[what]):,}, {'the same' if ours[what] == theirs[what] else 'NOT the same'}")
    print(", ".join(f"{model} {accuracy:.3f}" for model, (accuracy, _) in theirs["figures"].items()))


if __name__ == "__main__":
    main()
