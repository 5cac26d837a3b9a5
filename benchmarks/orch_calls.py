"""Calls of `orch` in separate folders, and the durations of the stages that they ran."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from orchestrator.store.base import Store, StoredRun
from orchestrator.store.opening import connect


def orch(folder: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """Call `orch ... --json` in a folder: its JSON result, and its duration in seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments, "--json"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"orch {' '.join(arguments)} exited with {done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1])), time.perf_counter() - began


def store_of(folder: Path) -> Store:
    """The store that calls in a folder write to."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with chdir(folder):
        return connect()


def stages_run(folder: Path) -> Iterator[tuple[StoredRun, float]]:
    """The stages that were run in a folder, each with its duration in seconds, including its evaluation."""
    for run in store_of(folder).runs():
        if run.is_stage and not run.is_swept:
            yield run, _seconds(run)


def _seconds(run: StoredRun) -> float:
    made, evaluated = run.origin == run.run_id, run.evaluation_origin() == run.run_id
    if made and "seconds" not in run.metrics and run.status == "KILLED" and run.ended is not None:
        return run.ended - run.started  # it was ended early
    training = run.metrics.get("seconds", 0.0) if made else 0.0
    return training + (run.metrics.get("eval/seconds", 0.0) if evaluated else 0.0)
