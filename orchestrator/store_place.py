"""Where the MLflow store is, and how two processes open it in turn. Knows nothing of mlflow, so asking is quick."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from orchestrator.errors import TrackingError

DEFAULT_FOLDER = Path("mlruns")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else a SQLite file under ./mlruns; absolute, as mlflow keeps one store open per URI."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_FOLDER.absolute()}/mlflow.db"


def store_folder() -> Path:
    """The local folder of the store: beside its database, else ./mlruns."""
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else DEFAULT_FOLDER


def store_exists() -> bool:
    """False where the store is a local database that no run has made yet."""
    uri = tracking_uri()
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold a local store for as long as it is opened: two processes that make its tables at once both fail."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "opening.lock")
        lock.acquire()
    except OSError as error:
        raise TrackingError(f"the MLflow store {folder} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
