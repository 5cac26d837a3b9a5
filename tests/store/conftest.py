"""An MLflow store for each test: its tables are made once, which takes seconds, and copied."""

import shutil
from pathlib import Path

import pytest

from orchestrator.store.mlflow import MlflowStore


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that holds no run."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        MlflowStore()
    return folder / "mlruns" / "mlflow.db"


@pytest.fixture
def mlflow_store(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowStore:
    """An empty store in this test's folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlruns").mkdir()
    shutil.copyfile(empty_database, "mlruns/mlflow.db")
    return MlflowStore()
