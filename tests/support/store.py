"""Read an MLflow store as a user's own script would."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from mlflow import MlflowClient

from tests.support.tables import copy_tables

copy_tables()


def client(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.db")


def runs(folder: Path, query: str = "") -> list[Any]:
    """All runs of a store, the oldest first."""
    found = client(folder)
    experiments = [e.experiment_id for e in found.search_experiments()]
    return list(found.search_runs(experiments, query, order_by=["attributes.start_time ASC"]))


def children(folder: Path, parent: str) -> dict[str, Any]:
    """The stage runs of a parent, by name."""
    return {r.info.run_name: r for r in runs(folder, f"tags.`mlflow.parentRunId` = '{parent}'")}


def artifact(run: Any, name: str) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def rows(run: Any, name: str) -> list[dict[str, Any]]:
    return list(pq.read_table(artifact(run, name)).to_pylist())


def as_of_an_older_version(folder: Path) -> None:
    """Remove the digests of outputs from a store's runs: older versions recorded none."""
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database, database:
        database.execute("DELETE FROM tags WHERE key = 'orch.output' OR key LIKE 'orch.eval_output%'")
