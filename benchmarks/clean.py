"""How much `orch clean` frees after trainings are killed, and whether it leaves a live run alone.

    python -m benchmarks.clean [--trainings 20]

Trainings with different seeds are killed (SIGKILL, workers included) once they have a checkpoint. While one more is
running, `orch clean` removes everything that no run is working on. Printed: the share of the killed trainings' bytes
that was freed, and whether the live training finished normally.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.orch_calls import orch
from orchestrator.runs.work import LOCKS, size_of

RECIPE = """\
name: killed
task: {type: units, demonstrations: {generate: 120}, test: {generate: 20}}
model: {name: tiny}
stages: {sft: {type: sft, learning_rate: 4e-3, max_steps: 200, per_device_train_batch_size: 16, save_steps: 2}}
evaluate: {models: [sft], on: test, max_tokens: 64, batch_size: 32}
"""


def begun(folder: Path, seed: int) -> "tuple[subprocess.Popen[bytes], Path]":
    """Start a run and wait for its first checkpoint; return its process and its training's folder."""
    work = folder / "mlruns" / "work"
    before = set(work.glob("*/checkpoints/*/.digests.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "run", "recipe.yaml", f"seed={seed}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (new := set(work.glob("*/checkpoints/*/.digests.json")) - before):
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.05)
    return process, next(iter(new)).parents[2]


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a run and its workers at the same time, and wait until they are gone."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(family)


def main() -> None:
    """Print both results."""
    parser = argparse.ArgumentParser(description="Cleaning up after killed trainings.")
    parser.add_argument("--trainings", type=int, default=20)
    trainings = parser.parse_args().trainings
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(RECIPE)
        for seed in range(trainings):
            process, _ = begun(folder, seed)
            kill(process)
        work = folder / "mlruns" / "work"
        killed = [path for path in work.iterdir() if path.name != LOCKS]
        held = sum(map(size_of, killed))
        live, of_live = begun(folder, trainings)
        found, _ = orch(folder, "clean", "--all", "--yes")
        left = sum(size_of(path) for path in killed if path.exists())
        there = of_live.exists()
        ended = live.wait() == 0
    print(
        f"{len(killed)} killed trainings held {held / 1e6:.1f} MB, {1 - left / held:.1%} freed "
        f"({found['freed'] / 1e6:.1f} MB in all); the live one's folder {'exists' if there else 'IS GONE'}, "
        f"it {'succeeded' if ended else 'FAILED'}"
    )


if __name__ == "__main__":
    main()
