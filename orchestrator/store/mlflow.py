"""The MLflow store: where every finished stage lives. The only home of mlflow.

One parent run per `orch run`; one child run per stage; an evaluation is written into the run of the model it judges, so
that each model is one run with its settings and its accuracy side by side. A stage is done when a run carries its key:
the tag is set last, after the artifacts are there.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import OutputError, TrackingError
from orchestrator.schema import flatten
from orchestrator.store.artifacts import Artifacts
from orchestrator.store.client import StoreClient, first_line, unreachable
from orchestrator.store.legal_names import folder_of, keys, storable
from orchestrator.store.outputs import StoredOutputs
from orchestrator.store.place import alone, database, store_folder, tracking_uri
from orchestrator.types import DataUsed

# read by mlflow when it is imported
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH", "16384")  # a path, with its characters quoted
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

for _name in ("alembic", "mlflow"):  # after the import, which sets their levels itself
    logging.getLogger(_name).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the trace of what it raises too

_PROCESS_TAG = "orch.process"
_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_MAX_PARAM = 6000
_MAX_TAG = 8000
_BATCH_METRICS = 1000
_BATCH_PARAMS = 100


class Keyed(Protocol):
    """What the store needs to know of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def is_evaluation(self) -> bool: ...
    @property
    def also(self) -> str | None:
        """The further split of an evaluation."""

    @property
    def output(self) -> str:
        """The artifact that it leaves."""


def key_tag(stage: Keyed) -> str:
    """The tag that holds a stage's key; an evaluation's stands beside that of the stage that made the model."""
    return _tag(stage, "key")


def origin_tags(stage: Keyed, run_id: str) -> dict[str, str]:
    """What says that a stage's output was made before, by another run."""
    return {_tag(stage, "cached_from"): run_id}


def _tag(stage: Keyed, what: str) -> str:
    if not stage.is_evaluation:
        return f"orch.{what}"
    return f"orch.eval_{what}" if stage.also is None else f"orch.eval_{what}.{stage.also}"


@contextmanager
def _own_root(uri: str) -> Iterator[None]:
    """Have MLflow place the experiment that it makes itself beside a local store, in a URI without quotation marks:
    with those of a folder's name it writes SQL that cannot be read."""
    if database(uri) is None or _ROOT in os.environ:
        yield
        return
    os.environ[_ROOT] = (store_folder() / "artifacts").resolve().as_uri()
    try:
        yield
    finally:
        del os.environ[_ROOT]


class Store:
    """A connection to the MLflow store; made on first use where it is local."""

    def __init__(self) -> None:
        self.uri = tracking_uri()
        self.process: str | None = None
        """Marks the runs that are started, so that others can tell when the process that writes them is gone."""
        self._open: list[str] = []
        """The runs that were started here and are not ended yet, in this order."""
        try:
            with alone(self.uri), _own_root(self.uri):
                # MLflow remembers for the whole process where a run's files go, by its id alone: in a copy of a store,
                # whose runs have the same ids, it would write into the files of the other
                _artifact_repos_cache.clear()
                self.client: Any = StoreClient(MlflowClient(tracking_uri=self.uri), self.uri)
                self._artifacts = Artifacts(self.client, store_folder() / "downloads")
                self._outputs = StoredOutputs(self.client, self._artifacts)
                self._experiments()
        except TrackingError:
            raise
        except Exception as error:  # mlflow lets database, HTTP and its own errors through alike
            raise TrackingError(unreachable(self.uri, error)) from None

    # -- reading ---------------------------------------------------------------------------------------------------

    def finished(self, stages: Iterable[Keyed]) -> dict[str, str]:
        """For each key that is done: the run whose artifacts hold the output. What was deleted since is not done.

        Raises:
            OutputError: outputs that were changed since they were made, each named.
        """
        found: dict[str, str] = {}
        changed: list[str] = []
        experiments = self._experiments()
        for stage in stages:
            done = f"tags.`{key_tag(stage)}` = '{stage.key}' and attributes.status = 'FINISHED'"
            problems: list[str] = []
            for run in self._one_by_one(done, experiments):
                origin = run.data.tags.get(_tag(stage, "cached_from"), run.info.run_id)
                maker = run if origin == run.info.run_id else self._active(origin)
                if maker is not None and self._outputs.is_there(maker, stage.output, problems.append):
                    found[stage.key] = origin
                    break
            changed += [f"stage {stage.name}: {text}" for text in problems[:1] if stage.key not in found]
        if changed:
            raise OutputError(*changed)
        return found

    def holder(self, key: str, also: str | None = None) -> Any | None:
        """The run with a stage's key, a finished one before others; `also`: the further split of an evaluation."""
        for tag in ("orch.key", "orch.eval_key", *([] if also is None else [f"orch.eval_key.{also}"])):
            query = f"tags.`{tag}` = '{key}'"
            found = self._search(f"{query} and attributes.status = 'FINISHED'", newest=1) or self._search(
                query, newest=1
            )
            if found:
                return found[0]
        return None

    def known(self, run_id: str | None) -> Any | None:
        """The run with that id; None where there is none, or it was deleted."""
        return self._active(run_id) if run_id else None

    def whole(self, plan_key: str) -> str | None:
        """The finished parent run of the plan with this key, if there is one."""
        runs = self._search(f"tags.`orch.plan` = '{plan_key}' and attributes.status = 'FINISHED'", newest=1)
        return runs[0].info.run_id if runs else None

    def children(self, parent: str) -> dict[str, Any]:
        """The runs under a parent, by name."""
        runs = self._search(f"tags.`mlflow.parentRunId` = '{parent}'")
        return {run.info.run_name: run for run in reversed(runs)}

    def find(self, wanted: str | None) -> Any:
        """The run whose id begins with `wanted`; without it the newest run of a recipe.

        Raises:
            TrackingError: there is none, or the beginning fits several.
        """
        if wanted is None:
            runs = self._search("tags.`orch.verb` = 'run'", newest=1)
            if not runs:
                raise TrackingError(f"the MLflow store at {self.uri} holds no run; make one with `orch run RECIPE`")
            return runs[0]
        try:
            return self.client.get_run(wanted)
        except MlflowException:
            # ids are letters and digits; anything else would be a pattern
            fitting = self._search(f"attributes.run_id LIKE '{wanted}%'") if wanted.isalnum() else []
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise TrackingError(f"no run {wanted!r} in the MLflow store at {self.uri}; `orch ui` shows them all")
        raise TrackingError(f"{len(fitting)} runs begin with {wanted!r}: give more of the id")

    def history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """The points of one curve: (step, value)."""
        return [(m.step, m.value) for m in self.client.get_metric_history(run_id, name)]

    def metrics(self, run_id: str) -> dict[str, float]:
        """The last value of each metric of a run."""
        return dict(self.client.get_run(run_id).data.metrics)

    def tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run."""
        return dict(self.client.get_run(run_id).data.tags)

    def experiment_of(self, run_id: str) -> str:
        """The name of the experiment a run stands in."""
        return str(self.client.get_experiment(self.client.get_run(run_id).info.experiment_id).name)

    def artifact(self, run_id: str, name: str, run: Any | None = None) -> Path:
        """Where one of a run's artifacts lies; a copy where the store is elsewhere, nothing where there is none."""
        return self._artifacts.path(run_id, name, run)

    def output(self, run_id: str, name: str, run: Any | None = None, full: bool = False) -> Path:
        """As `artifact`, for what a stage has made: its content is what was made; with `full` all of it is read.

        Raises:
            OutputError: it is not what it was.
        """
        return self._outputs.path(run_id, name, run, full)

    def experiments(self) -> list[str]:
        """The names of all experiments there are, the newest first."""
        return [e.name for e in self.client.search_experiments(ViewType.ACTIVE_ONLY)]

    def tagged(self, tag: str, value: str, most: int) -> list[Any]:
        """The newest finished runs with this value of a tag, which holds no quotation mark, in all experiments."""
        query = f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'"
        order = ["attributes.start_time DESC"]
        return list(self.client.search_runs(self._experiments(), query, order_by=order, max_results=most))

    def runs_of(self, experiment: str, verb: str | None = None) -> list[Any]:
        """Every run of an experiment, however many, the newest first; those of one verb, where it is named."""
        found = self.client.get_experiment_by_name(experiment)
        query, runs, token = "" if verb is None else f"tags.`orch.verb` = '{verb}'", [], None
        while found is not None and (token is None or token):
            page = self.client.search_runs(
                [found.experiment_id], query, order_by=["attributes.start_time DESC"], page_token=token
            )
            runs += page
            token = page.token or ""
        return runs

    def address(self, run_id: str, name: str) -> str | None:
        """Where one of a run's files is: a path, or a URI where the store is elsewhere; None where there is none."""
        return self._artifacts.address(run_id, name)

    def forget(self, run_id: str, name: str) -> None:
        """Ask the store itself the next time: the artifact may have been written again."""
        self._artifacts.forget(run_id, name)

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if need be with its artifacts beside the store."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise TrackingError(f"the MLflow experiment {name!r} was deleted; restore it, or rename the recipe")
            return str(found.experiment_id)
        location = None
        if database(self.uri) is not None:
            location = (store_folder() / "artifacts" / folder_of(name)).resolve().as_uri()
        try:
            made = str(self.client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if (found := self.client.get_experiment_by_name(name)) is not None:
                return str(found.experiment_id)  # another orch was faster
            raise TrackingError(f"the MLflow experiment {name!r} cannot be made: {first_line(error)}") from None
        return made

    def start(self, experiment: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        """Start a run; its id."""
        cut = {k: storable(v)[:_MAX_TAG] for k, v in tags.items()}
        if self.process is not None:
            cut[_PROCESS_TAG] = self.process
        run_id = str(self.client.create_run(experiment, run_name=name, tags=cut).info.run_id)
        self._open.append(run_id)
        entries = [Param(k, storable(str(v))[:_MAX_PARAM]) for k, v in keys(flatten(params)).items()]
        for begin in range(0, len(entries), _BATCH_PARAMS):
            self.client.log_batch(run_id, params=entries[begin : begin + _BATCH_PARAMS])
        return run_id

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        """Single values, and tags."""
        now = int(time.time() * 1000)
        entries = [Metric(k, float(v), now, 0) for k, v in metrics.items()]
        cut = [RunTag(k, storable(v)[:_MAX_TAG]) for k, v in (tags or {}).items()]
        self.client.log_batch(run_id, metrics=entries, tags=cut)

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        """An evaluation's figures, in the run of its model and in MLflow's list of models, where one is made for it."""
        experiment = self.client.get_run(run_id).info.experiment_id
        known = self.client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        if known:
            logged = known[0]
        else:
            logged = self.client.create_logged_model(experiment, model, source_run_id=run_id, tags=dict(tags))
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        now = int(time.time() * 1000)
        entries = [
            Metric(k, float(v), now, 0, logged.model_id, data.name, data.digest, run_id) for k, v in metrics.items()
        ]
        self.client.log_batch(run_id, metrics=entries)
        self.client.finalize_logged_model(logged.model_id, "READY")

    def save_view(self, experiment: str, name: str, view: str) -> None:
        """A saved view of an experiment's page, under the tag that MLflow reads it from."""
        self.client.set_experiment_tag(experiment, name, view)

    def newest_with_view(self, name: str) -> str | None:
        """The id of the experiment with the newest run, of those that have such a saved view."""
        found = self.client.search_experiments(ViewType.ACTIVE_ONLY)
        shown = [e.experiment_id for e in found if name in e.tags]
        runs = self._search("tags.`orch.verb` = 'run'", shown, newest=1)
        return str(runs[0].info.experiment_id) if runs else None

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Points of training curves, as the journal holds them."""
        entries = [Metric(k, v, r["time"], r["step"]) for r in records for k, v in r["metrics"].items()]
        for begin in range(0, len(entries), _BATCH_METRICS):
            self.client.log_batch(run_id, metrics=entries[begin : begin + _BATCH_METRICS])

    def log_folder(self, run_id: str, folder: Path) -> None:
        """All files below a folder, as artifacts."""
        self.client.log_artifacts(run_id, str(folder))

    def digests(self, run_id: str, folder: Path, name: str) -> dict[str, str]:
        """The tag that says what the output `name`, logged from `folder`, holds: `output` goes by it."""
        return self._outputs.record(run_id, folder, name)

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """One text artifact."""
        self.client.log_text(run_id, text, name)

    def log_samples(self, run_id: str, rows: list[dict[str, Any]], name: str) -> None:
        """A table that MLflow's UI shows."""
        columns = {key: [str(row[key]) for row in rows] for key in rows[0]}
        self.client.log_table(run_id, data=columns, artifact_file=name)

    def log_data(self, run_id: str, data: DataUsed) -> None:
        """A data set the run made or read, with its source and digest; a bare file name is one of its artifacts."""
        source = data.source
        if source.endswith(".parquet") and (source.startswith("eval/") or "/" not in source):
            source = f"{self.client.get_run(run_id).info.artifact_uri}/{source}"
        entity = Dataset(
            name=data.name,
            digest=data.digest,
            source_type="orch",
            source=json.dumps({"uri": source}),
            profile=json.dumps({"num_rows": data.rows}),
        )
        tag = InputTag("mlflow.data.context", data.context)
        self.client.log_inputs(run_id, datasets=[DatasetInput(entity, [tag])])

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        if error is not None:
            self.client.set_tag(run_id, "orch.error", error[:_MAX_TAG])
        self.client.set_terminated(run_id, status)
        if run_id in self._open:
            self._open.remove(run_id)

    def end_open(self, status: str, error: str) -> None:
        """Close whatever was started here and is open, what was started last first; one that cannot be, stays."""
        for run_id in reversed(tuple(self._open)):
            with suppress(TrackingError, MlflowException):
                self.end(run_id, status, error)

    def close_abandoned(self, process: str) -> None:
        """Mark what a process that is gone left RUNNING. The caller has made sure that it is gone."""
        for run in self._search(f"tags.`{_PROCESS_TAG}` = '{process}' and attributes.status = 'RUNNING'"):
            self.end(run.info.run_id, "KILLED", "the process was killed")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _experiments(self) -> list[str]:
        """All experiments there are now: another process may have added one since the last look."""
        return [e.experiment_id for e in self.client.search_experiments(ViewType.ACTIVE_ONLY)]

    def _one_by_one(self, query: str, experiments: list[str]) -> Iterator[Any]:
        """The runs that fit, the newest first: the first alone, as it mostly is the one; then the rest."""
        yield from (first := self._search(query, experiments, newest=1))
        if first:
            yield from self._search(query, experiments)[1:]

    def _search(self, query: str, experiments: list[str] | None = None, newest: int = 1000) -> list[Any]:
        """The newest runs that fit, so many at most; in all experiments, unless some are given."""
        experiments = self._experiments() if experiments is None else experiments
        if not experiments:
            return []
        order = ["attributes.start_time DESC"]
        return list(self.client.search_runs(experiments, query, max_results=newest, order_by=order))

    def _active(self, run_id: str) -> Any | None:
        """A run, unless it was deleted."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        return run if run.info.lifecycle_stage == "active" else None
