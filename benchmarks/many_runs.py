"""Time `orch plan` and `orch compare` on a store with many runs.

    python -m benchmarks.many_runs FOLDER [--runs 1000]

Writes the runs into FOLDER/mlruns once: each has a parent, six stages and four evaluations of 100 questions.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.store.mlflow import MlflowStore
from tests.support.written_runs import answers, recipe, write_run

REPOSITORY = Path(__file__).parent.parent
OF_ONE = 7
"""Number of MLflow runs per run of a recipe."""


def main() -> None:
    """Print the number of runs, and the duration of each command, which runs in its own process."""
    parser = argparse.ArgumentParser(description="Commands on a store of many runs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.folder)
    store = MlflowStore()
    names = [f"study-{i}" for i in range(4)]
    there = sum(1 for _ in store.runs(experiments=names))
    for number in range(there // OF_ONE, -(-asked.runs // OF_ONE)):
        models = {"base": answers(0.0, answered=0.0)}
        models |= {
            m: answers(a, seed=10 * number + i) for i, (m, a) in enumerate((("sft", 0.5), ("rft", 0.7), ("grpo", 0.75)))
        }
        rate = 0.001 * (1 + number % 12)
        write_run(store, recipe(names[number % 4], seed=number // 48, stages__rft__learning_rate=rate), models)
    print(f"{sum(1 for _ in store.runs(experiments=names)):,} runs in {len(names)} experiments")
    shipped = str(REPOSITORY / "recipes" / "rft.yaml")
    for command in (("plan", shipped), ("compare",), ("compare", "--experiment", names[0])):
        began, worked = time.perf_counter(), cpu_of_children()
        done = subprocess.run([sys.executable, "-m", "orchestrator.cli", *command], capture_output=True, text=True)
        took, worked = time.perf_counter() - began, cpu_of_children() - worked
        told = "" if done.returncode == 0 else f"  exit {done.returncode}: {done.stderr.strip()[-200:]}"
        name = f"orch {' '.join(command).replace(shipped, 'recipes/rft.yaml')}"
        print(f"{name:<40} {took:5.1f} s, {worked:5.1f} s of CPU time{told}", flush=True)


def cpu_of_children() -> float:
    """CPU seconds used by the processes started so far: the fairer figure on a shared machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
