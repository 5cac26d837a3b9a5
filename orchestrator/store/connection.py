"""A connection to MLflow: opens it, and reads experiments and runs page by page. The first module to import mlflow.

Runs are returned as `StoredRun`. All runs and experiments are read, however many there are.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import Any

from orchestrator.errors import TrackingError
from orchestrator.store.base import StoredExperiment, StoredRun
from orchestrator.store.client import StoreClient, unreachable
from orchestrator.store.names import PARENT_TAG
from orchestrator.store.place import alone, database, sqlite_uri, store_folder

# read by mlflow at import
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH", "16384")  # a percent-encoded path
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
from mlflow import MlflowClient
from mlflow import __version__ as mlflow_version
from mlflow.entities import ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from orchestrator.store.uploads import give_uploads_time

give_uploads_time()
for _name in ("alembic", "mlflow"):  # after the import, which sets their levels itself
    logging.getLogger(_name).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it also prints tracebacks of errors it raises

PAGE = 1000
"""Runs or experiments per request; the most that MLflow servers return by default."""
_IDS = 100
"""Ids per request."""
_NEWEST_FIRST = ("attributes.start_time DESC",)
_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_NEW = ".new-store-"
"""Prefix of the folder in which the tables of a new local store are created."""


class Connection:
    """MLflow at one URI.

    Raises:
        TrackingError: it cannot be reached or created.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._names: dict[str, str] = {}
        """Experiment names by id, as last read."""
        try:
            with alone(uri), _own_root(uri):
                _make(database(uri))
                # MLflow caches per process where a run's files go, by run id alone: in a copy of a store, whose runs
                # have the same ids, it would write into the files of the other store
                _artifact_repos_cache.clear()
                self.client: Any = StoreClient(MlflowClient(tracking_uri=uri), uri)
                self.experiments()
        except TrackingError:
            raise
        except Exception as error:  # mlflow passes on database, HTTP and its own errors alike
            raise TrackingError(unreachable(uri, error)) from None

    def experiments(self) -> list[StoredExperiment]:
        """All current experiments, newest first: another process may have added one since the last read."""
        experiments, token = [], None
        while token is None or token:
            page = self.client.search_experiments(ViewType.ACTIVE_ONLY, max_results=PAGE, page_token=token)
            experiments += [StoredExperiment(str(e.experiment_id), e.name, dict(e.tags)) for e in page]
            token = page.token or ""
        self._names |= {each.experiment_id: each.name for each in experiments}
        return experiments

    def run(self, run_id: str) -> StoredRun:
        """The run with exactly this id, even if deleted. Raises MlflowException if there is none."""
        return self._stored(self.client.get_run(run_id))

    def know_place(self, run_id: str, location: str) -> None:
        """Record where a newly started run's artifacts go: MLflow would otherwise request the run to find out."""
        _artifact_repos_cache[run_id] = get_artifact_repository(location, tracking_uri=self.uri)

    def search(
        self, query: str, experiments: Collection[str] | None = None, limit: int | None = None
    ) -> Iterator[StoredRun]:
        """The matching runs in the experiments with these names, newest first, read lazily page by page.

        Looking up the name of an experiment that was read before costs no request.
        """
        ids = self._ids(experiments)
        token, left = None, limit
        while ids and (token is None or token) and left != 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.client.search_runs(
                ids, query, order_by=list(_NEWEST_FIRST), max_results=size, page_token=token or None
            )
            yield from map(self._stored, page)
            left = None if left is None else left - len(page)
            token = page.token or ""

    def _ids(self, experiments: Collection[str] | None) -> list[str]:
        if experiments is None:
            return [each.experiment_id for each in self.experiments()]
        by_name = {name: experiment_id for experiment_id, name in self._names.items()}
        if not set(experiments) <= by_name.keys():
            by_name = {each.name: each.experiment_id for each in self.experiments()}
        return [by_name[name] for name in experiments if name in by_name]

    def _stored(self, run: Any) -> StoredRun:
        info, data = run.info, run.data
        return StoredRun(
            run_id=info.run_id,
            name=info.run_name or "",
            experiment=self._name_of(info.experiment_id),
            status=str(info.status),
            parent=data.tags.get(PARENT_TAG),
            started=(info.start_time or 0) / 1000,
            ended=None if info.end_time is None else info.end_time / 1000,
            location=info.artifact_uri,
            params=dict(data.params),
            metrics=dict(data.metrics),
            tags=dict(data.tags),
        )

    def _name_of(self, experiment_id: str) -> str:
        if experiment_id not in self._names:
            self._names[experiment_id] = self.client.get_experiment(experiment_id).name
        return self._names[experiment_id]


def queries(tags: Mapping[str, str | None] | None, status: str | None, ids: Collection[str] | None) -> Iterator[str]:
    """The filters, in MLflow's syntax, that together find the matching runs: one per hundred ids."""
    terms = [
        f"tags.`{tag}` LIKE '%'" if text is None else f"tags.`{tag}` = {_literal(text)}"
        for tag, text in (tags or {}).items()
    ]
    if status is not None:
        terms.append(f"attributes.status = '{status}'")
    if ids is None:
        yield " and ".join(terms)
        return
    listed = sorted(ids)
    for begin in range(0, len(listed), _IDS):
        some = ", ".join(map(_literal, listed[begin : begin + _IDS]))
        yield " and ".join([*terms, f"attributes.run_id IN ({some})"])


def _literal(text: str) -> str:
    """A string in MLflow's filter syntax, which has no escaping."""
    if "'" in text and '"' in text:
        raise TrackingError(f"MLflow cannot search for a text with both kinds of quotation marks: {text[:100]}")
    return f'"{text}"' if "'" in text else f"'{text}'"


def _make(file: Path | None) -> None:
    """Create the tables of a local store that does not exist yet, in a file that is renamed once they are complete.

    MLflow creates them in dozens of migrations, which take seconds and cannot resume after one was killed. So they are
    created once per MLflow version, and copied.
    """
    if file is None or (file.exists() and file.stat().st_size):
        return
    for left in file.parent.glob(f"{_NEW}*"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=_NEW, dir=file.parent))  # a new name: MLflow caches open stores by URI
    new = folder / file.name
    try:
        kept = _kept_tables()
        if not _copied(kept, new):
            uri = sqlite_uri(new)
            with alone(uri):
                MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
            _keep(new, kept)
        new.replace(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept_tables() -> Path:
    """The user's cached file of an empty store for this MLflow version: copying it takes no time."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        home = Path(named) if named else Path.home() / ".cache"
    except RuntimeError:  # this user has no home folder
        home = Path(gettempdir()) / f"orch-{os.getuid()}"
    return home / "orch" / f"mlflow-{mlflow_version}.db"


def _copied(kept: Path, new: Path) -> bool:
    """Whether a new store was created from the cached one; False if there is none or it is damaged."""
    try:
        shutil.copyfile(kept, new)
        with closing(sqlite3.connect(new)) as database, database:
            sound = database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            # MLflow's default experiment: its files go next to this store
            place = (f"{os.environ[_ROOT]}/0",)
            changed = database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", place)
            if sound and changed.rowcount == 1:
                return True
    except (OSError, sqlite3.Error):
        pass
    new.unlink(missing_ok=True)
    return False


def _keep(new: Path, kept: Path) -> None:
    with suppress(OSError):  # then the next new store creates it again
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept.parent) as folder:
            Path(shutil.copyfile(new, Path(folder) / kept.name)).replace(kept)


@contextmanager
def _own_root(uri: str) -> Iterator[None]:
    """Make MLflow place its default experiment next to a local store, at a URI without quotation marks.

    With quotation marks from a folder's name it would write invalid SQL.
    """
    if database(uri) is None or _ROOT in os.environ:
        yield
        return
    os.environ[_ROOT] = (store_folder() / "artifacts").resolve().as_uri()
    try:
        yield
    finally:
        del os.environ[_ROOT]
