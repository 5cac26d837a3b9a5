"""The savings from ending bad trials early, and the quality of the winner: `asha` and `paired` against a full grid.

    python -m benchmarks.early_ends [--recipe recipes/sweep.yaml] [--seeds 0 1 2]

For each seed, the full grid runs first, then the same sweep with each way of ending trials early. Stages that trials
share run once, for the grid, and their cost is counted for the other sweeps too. Costs are stage seconds, including the
winner's test. A winner is as good as the grid's if its accuracy on the validation split is not below the interval of
the grid's winner.
"""

import argparse
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from benchmarks.orch_calls import orch, stages_run, store_of

WAYS = {
    "asha": "sweep.early_terminate={type: asha, min_steps: 20, eta: 3}",
    "paired": "sweep.early_terminate={type: paired, p: 0.1}",
}
SHARED = ("sft", "samples")


def with_shared_stages(grid: Path, to: Path) -> None:
    """Copy a store, keeping only the stages that trials share."""
    shutil.copytree(grid / "mlruns", to / "mlruns")
    with closing(sqlite3.connect(to / "mlruns" / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(grid), str(to)))
    client = MlflowClient(f"sqlite:///{to / 'mlruns' / 'mlflow.db'}")
    for run in [*store_of(to).runs()]:
        if run.name not in SHARED or run.origin != run.run_id:
            client.delete_run(run.run_id)


def told(found: dict[str, Any]) -> tuple[float, float, str]:
    """The proposed trial's accuracy on the validation split, the lower end of its interval, and a line of text."""
    best = next(trial for trial in found["trials"] if trial["number"] == found["best"]["number"])
    ended = sum(trial["state"] == "pruned" for trial in found["trials"])
    label = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in best["label"].items())
    said = f"{label}: {best['value']:.3f} [{best['low']:.3f}, {best['high']:.3f}], {ended} trials ended early"
    return best["value"], best["low"], said


def main() -> None:
    """Print each sweep, and its cost relative to the grid's."""
    parser = argparse.ArgumentParser(description="asha and paired against the full grid.")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/sweep.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    recipe = str(arguments.recipe.resolve())
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as name:
            grid = Path(name, "grid")
            grid.mkdir()
            found, seconds = orch(grid, "sweep", recipe, f"seed={seed}")
            stages = list(stages_run(grid))
            cost, shared = sum(took for _, took in stages), sum(took for run, took in stages if run.name in SHARED)
            _, low, said = told(found)
            print(f"seed {seed}, grid: {said}; {cost:.0f} stage seconds, {seconds:.0f} s", flush=True)
            for way, override in WAYS.items():
                folder = Path(name, way)
                with_shared_stages(grid, folder)
                found, seconds = orch(folder, "sweep", recipe, f"seed={seed}", override)
                own = sum(took for run, took in stages_run(folder) if run.name not in SHARED) + shared
                value, _, said = told(found)
                verdict = "as good" if value >= low else "WORSE"
                print(f"seed {seed}, {way}: {said}; {verdict}, {own:.0f} stage seconds: {own / cost:.2f}", flush=True)


if __name__ == "__main__":
    main()
