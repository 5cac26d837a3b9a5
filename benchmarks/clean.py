"""What `orch clean` gives back after trainings were killed, and whether a run that goes on is left alone.

    python -m benchmarks.clean [--trainings 20]

Trainings of different seeds are killed (SIGKILL, their workers too) once they have a checkpoint. While one more of them
goes on, `orch clean` is asked to remove all that no run is at work on. Printed are the share of the killed trainings'
bytes that it gave back, and whether the one that went on ended as it should.
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
    """A run that has a checkpoint, and the folder of its training."""
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
        assert process.poll() is None, "it has ended before its first checkpoint"
        time.sleep(0.05)
    return process, next(iter(new)).parents[2]


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a run and its workers, at one moment, and wait until they are gone."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(family)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="What is left of killed trainings.")
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
        f"{len(killed)} killed trainings held {held / 1e6:.1f} MB, {1 - left / held:.1%} given back "
        f"({found['freed'] / 1e6:.1f} MB freed in all); the live one's folder {'is there' if there else 'IS GONE'}, "
        f"it {'ended well' if ended else 'FAILED'}"
    )


if __name__ == "__main__":
    main()
