"""A store on a local database: it is read directly, and MLflow is loaded only when something is first written.

So commands that only look at finished runs never wait for MLflow; the results are those that `MlflowStore` would give.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredExperiment, StoredRun
from orchestrator.store.database import Database
from orchestrator.store.filed import FiledStore
from orchestrator.store.outputs import StoredOutputs
from orchestrator.store.place import store_folder, tracking_uri
from orchestrator.types import DataUsed

if TYPE_CHECKING:
    from orchestrator.store.mlflow import MlflowStore


class LocalStore(FiledStore):
    """A local store that already exists."""

    def __init__(self, database: Database, load: "Callable[[], MlflowStore]") -> None:
        """Read from a database; `load` opens the same store with MLflow."""
        self.process: str | None = None
        self.title = f"the MLflow store at {tracking_uri()}"
        self._database, self._load = database, load
        self._artifacts = Artifacts(self.find, lambda: self._mlflow.client, store_folder() / "downloads")
        self._outputs = StoredOutputs(self._artifacts)

    @cached_property
    def _mlflow(self) -> "MlflowStore":
        return self._load()

    # -- reading ---------------------------------------------------------------------------------------------------

    def runs(
        self,
        tags: Mapping[str, str | None] | None = None,
        *,
        status: str | None = None,
        experiments: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRun]:
        return self._database.runs(tags, status=status, experiments=experiments, ids=ids, limit=limit)

    def with_id(self, run_id: str) -> StoredRun | None:
        return self._database.run(run_id)

    def beginning(self, part: str) -> list[StoredRun]:
        return [*self._database.runs(begin=part)]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return self._database.history(run_id, metric)

    def experiments(self) -> list[StoredExperiment]:
        return self._database.experiments()

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        found = next((each.experiment_id for each in self.experiments() if each.name == name), None)
        return self._mlflow.experiment(name) if found is None else found

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        self._database.tag_experiment(experiment_id, tag, text)

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        self._mlflow.process = self.process
        return self._mlflow.start(experiment_id, name, tags, params)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        self._mlflow.log_params(run_id, params)

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        self._mlflow.log(run_id, metrics, tags)

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        self._mlflow.log_points(run_id, records)

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        self._mlflow.log_evaluation(run_id, model, metrics, data, tags)

    def log_data(self, run_id: str, data: DataUsed) -> None:
        self._mlflow.log_data(run_id, data)

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        self._mlflow.log_table(run_id, rows, name)

    def log_folder(self, run_id: str, folder: Path, output: str | None = None) -> dict[str, str]:
        return self._mlflow.log_folder(run_id, folder, output)

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        self._mlflow.end(run_id, status, error)
