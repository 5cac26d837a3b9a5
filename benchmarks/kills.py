"""Check that a sweep that is killed repeatedly gets the same results as an undisturbed one.

    python -m benchmarks.kills [--recipe tests/sweep.yaml] [--kills 10] [--seed 0] [--methods grid random tpe]

For grid, random and TPE: the sweep runs undisturbed, then, in another folder, it is killed (SIGKILL, workers included)
at random moments and restarted until it finishes. This repeats from scratch until there were enough kills. Printed:
whether the trials and their values are the same, and whether a stage ran twice. TPE learns from the trials finished so
far and may therefore propose others; for TPE, what matters is that no finished trial runs again.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.orch_calls import orch, stages_run

_LATEST = 40.0
"""The latest kill, in seconds after a start: any later, most sweeps would have ended."""
METHODS = {
    "grid": (),
    "random": ("sweep.method=random", "sweep.run_cap=4", "sweep.parameters={stages.tuned.learning_rate: {min: 1e-4, "
               "max: 4e-3, distribution: log_uniform_values}}"),
    "tpe": ("sweep.method=tpe", "sweep.run_cap=4", "sweep.parameters={stages.tuned.learning_rate: {min: 1e-4, "
            "max: 4e-3, distribution: log_uniform_values}}"),
}  # fmt: skip


def kill_at(folder: Path, arguments: tuple[str, ...], seconds: float) -> bool:
    """Start the sweep, and kill it after the given seconds; False if it had ended by then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def told(found: dict[str, Any]) -> list[tuple[str, float | None]]:
    """Each trial and its value."""
    return sorted((repr(trial["label"]), trial["value"]) for trial in found["trials"])


def made_twice(folder: Path) -> list[str]:
    """The stages that more than one run executed."""
    counted = Counter(run.key for run, _ in stages_run(folder) if run.origin == run.run_id and run.status == "FINISHED")
    return [key for key, times in counted.items() if times > 1 and key]


def main() -> None:
    """Print the outcome of each method."""
    parser = argparse.ArgumentParser(description="Sweeps killed at random moments.")
    parser.add_argument("--recipe", type=Path, default=Path("tests/sweep.yaml"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    asked = parser.parse_args()
    recipe, chance = str(asked.recipe.resolve()), random.Random(asked.seed)
    for method in asked.methods:
        overrides = METHODS[method]
        with tempfile.TemporaryDirectory() as name:
            calm = Path(name, "calm")
            calm.mkdir()
            undisturbed, took = orch(calm, "sweep", recipe, *overrides)
            kills, sweeps, same, twice = 0, 0, True, 0
            while kills < asked.kills:
                sweeps += 1
                killed = Path(name, f"killed-{sweeps}")
                killed.mkdir()
                sweep = ("sweep", recipe, *overrides)
                while kills < asked.kills and kill_at(killed, sweep, chance.uniform(4.0, min(took, _LATEST))):
                    kills += 1
                    time.sleep(0.5)
                resumed, _ = orch(killed, "sweep", recipe, *overrides)
                same = same and told(resumed) == told(undisturbed)
                twice += len(made_twice(killed))
        print(
            f"{method}: {sweeps} sweeps of {len(undisturbed['trials'])} trials killed {kills} times, undisturbed "
            f"{took:.0f} s: {'the same values' if same else 'DIFFERENT VALUES'}, stages run twice: {twice}",
            flush=True,
        )


if __name__ == "__main__":
    main()
