"""The MLflow store, which contains every finished stage.

One parent run per `orch run`; one child run per stage; an evaluation is logged in the run of the model it judges, so
that each model is one run with its settings and its accuracy side by side. A stage is finished when a run has its key:
that tag is set last, after the artifacts are logged.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import TrackingError
from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredExperiment, StoredRun
from orchestrator.store.client import Patience, first_line
from orchestrator.store.connection import Connection, queries
from orchestrator.store.filed import FiledStore
from orchestrator.store.legal_names import folder_of, params_of, tags_of
from orchestrator.store.names import ERROR_TAG, PROCESS_TAG
from orchestrator.store.outputs import StoredOutputs
from orchestrator.store.place import database, store_folder, tracking_uri
from orchestrator.types import DataUsed

# after the connection, which sets the variables that mlflow reads at import
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip

_BATCH_METRICS = 1000
_BATCH_PARAMS = 100
_WRITERS = 4
"""Threads that write to a server: with more, the scheduler's requests would queue behind the writes."""


@dataclass(slots=True)
class _Started:
    """A run started by this process, as far as it is known without requesting it again."""

    experiment_id: str
    location: str
    """Where its artifacts go."""
    model_id: str | None = None
    """The id of its entry in MLflow's list of models, once there is one."""


class MlflowStore(FiledStore):
    """A connection to the MLflow store, which is created on first use if it is local.

    What this process wrote itself is not requested again: each request to a remote store takes time.
    """

    def __init__(self) -> None:
        self.uri = tracking_uri()
        self.title = f"the MLflow store at {self.uri}"
        self.process: str | None = None
        # a remote server answers several requests in the time of one; a local database allows one writer at a time
        self.writers = 1 if self.uri.startswith("sqlite:") else _WRITERS
        self._connection = Connection(self.uri)
        self.client = self._connection.client
        self._artifacts = Artifacts(self._connection.run, lambda: self.client, store_folder() / "downloads")
        self._outputs = StoredOutputs(self._artifacts)
        self._experiment_ids: dict[str, str] = {}
        """By name, for the experiments that this process writes to."""
        self._started: dict[str, _Started] = {}
        """By id."""

    @property
    def patience(self) -> Patience | None:
        """As in every store; the client does the waiting."""
        found: Patience | None = self._connection.client.patience
        return found

    @patience.setter
    def patience(self, patience: Patience | None) -> None:
        self._connection.client.patience = patience

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
        filters = [*queries(tags, status, ids)]
        if len(filters) == 1:
            return self._connection.search(filters[0], experiments, limit)
        runs = [run for query in filters for run in self._connection.search(query, experiments)]
        return iter(sorted(runs, key=lambda run: -run.started)[:limit])

    def with_id(self, run_id: str) -> StoredRun | None:
        try:
            return self._connection.run(run_id)
        except MlflowException:
            return None

    def beginning(self, part: str) -> list[StoredRun]:
        return [*self._connection.search(f"attributes.run_id LIKE '{part}%'")]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.client.get_metric_history(run_id, metric)]

    def experiments(self) -> list[StoredExperiment]:
        return self._connection.experiments()

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        if name not in self._experiment_ids:
            self._experiment_ids[name] = self._experiment(name)
        return self._experiment_ids[name]

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise TrackingError(f"the MLflow experiment {name!r} was deleted; restore it, or rename the recipe")
            return str(found.experiment_id)
        location = None
        if database(self.uri) is not None:  # next to the store
            location = (store_folder() / "artifacts" / folder_of(name)).resolve().as_uri()
        try:
            return str(self.client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if (found := self.client.get_experiment_by_name(name)) is not None:
                return str(found.experiment_id)  # another orch was faster
            raise TrackingError(f"the MLflow experiment {name!r} cannot be created: {first_line(error)}") from None

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        self.client.set_experiment_tag(experiment_id, tag, text)

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        all_tags = tags_of(tags) | ({} if self.process is None else {PROCESS_TAG: self.process})
        info = self.client.create_run(experiment_id, run_name=name, tags=all_tags).info
        run_id = str(info.run_id)
        self._started[run_id] = _Started(experiment_id, info.artifact_uri)
        self._connection.know_place(run_id, info.artifact_uri)
        self.log_params(run_id, params)
        return run_id

    def _run(self, run_id: str) -> _Started:
        """A run to write to, whichever process started it."""
        if run_id not in self._started:
            info = self.client.get_run(run_id).info
            known = self.client.search_logged_models([info.experiment_id], f"source_run_id = '{run_id}'")
            model_id = known[0].model_id if known else None
            self._started[run_id] = _Started(info.experiment_id, info.artifact_uri, model_id)
        return self._started[run_id]

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        entries = [Param(key, value) for key, value in params_of(params).items()]
        for begin in range(0, len(entries), _BATCH_PARAMS):
            self.client.log_batch(run_id, params=entries[begin : begin + _BATCH_PARAMS])

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        now = int(time.time() * 1000)
        entries = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
        texts = [RunTag(name, text) for name, text in tags_of(tags or {}).items()]
        if entries or texts:
            self.client.log_batch(run_id, metrics=entries, tags=texts)

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        entries = [Metric(k, v, r["time"], r["step"]) for r in records for k, v in r["metrics"].items()]
        for begin in range(0, len(entries), _BATCH_METRICS):
            self.client.log_batch(run_id, metrics=entries[begin : begin + _BATCH_METRICS])

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        run = self._run(run_id)
        if run.model_id is None:
            made = self.client.create_logged_model(run.experiment_id, model, source_run_id=run_id, tags=dict(tags))
            self.client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])
            run.model_id = str(made.model_id)
        now = int(time.time() * 1000)
        about = (run.model_id, data.name, data.digest, run_id)
        entries = [Metric(name, float(value), now, 0, *about) for name, value in metrics.items()]
        self.client.log_batch(run_id, metrics=entries)
        self.client.finalize_logged_model(run.model_id, "READY")

    def log_data(self, run_id: str, data: DataUsed) -> None:
        source = data.source
        if source.endswith(".parquet") and (source.startswith("eval/") or "/" not in source):
            source = f"{self._run(run_id).location}/{source}"
        entity = Dataset(
            name=data.name,
            digest=data.digest,
            source_type="orch",
            source=json.dumps({"uri": source}),
            profile=json.dumps({"num_rows": data.rows}),
        )
        tag = InputTag("mlflow.data.context", data.context)
        self.client.log_inputs(run_id, datasets=[DatasetInput(entity, [tag])])

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        columns = {key: [str(row[key]) for row in rows] for key in rows[0]}
        self.client.log_table(run_id, data=columns, artifact_file=name)

    def log_folder(self, run_id: str, folder: Path, output: str | None = None) -> dict[str, str]:
        digests = {} if output is None else self._outputs.record(folder, output)
        self.client.log_artifacts(run_id, str(folder))
        if output is not None:
            self._artifacts.keep(run_id, self._run(run_id).location, folder, output)
        return digests

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        if error is not None:
            self.log(run_id, {}, {ERROR_TAG: error})
        self.client.set_terminated(run_id, status)
