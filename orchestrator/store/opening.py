"""The one place that opens a store. MLflow is loaded only if a store is created, written, or behind a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, TrackingError
from orchestrator.store.base import Store
from orchestrator.store.database import Database
from orchestrator.store.local import LocalStore
from orchestrator.store.place import database, store_exists, tracking_uri

if TYPE_CHECKING:
    from orchestrator.store.mlflow import MlflowStore

_IN_USE: ContextVar[Store | None] = ContextVar("store in use", default=None)


def open_store(create: bool = False) -> Store:
    """The store in use, else that of `MLFLOW_TRACKING_URI` or ./mlruns; `create` creates it if it does not exist.

    Raises:
        InputError: there is none yet, and `create` is not set.
        TrackingError: it cannot be reached or written.
    """
    if (store := _IN_USE.get()) is not None:
        return store
    if not create and not store_exists():
        raise InputError(f"there is no MLflow store at {tracking_uri()}; run a recipe first, or change to its folder")
    return connect()


def existing_store() -> Store | None:
    """The store if there is one yet, else None. Raises TrackingError if it cannot be reached or written."""
    return open_store() if store_in_use() or store_exists() else None


def store_in_use() -> bool:
    """Whether a store was set with `using`, in place of the one that the environment names."""
    return _IN_USE.get() is not None


@contextmanager
def using(store: Store) -> Iterator[None]:
    """Make this the store that everything in this thread uses inside the context."""
    before = _IN_USE.set(store)
    try:
        yield
    finally:
        _IN_USE.reset(before)


def connect() -> Store:
    """A new connection to the MLflow store. Raises TrackingError if it cannot be reached or is not a store."""
    found = local_database()
    if found is not None:
        return LocalStore(found, _with_mlflow)
    file = database(tracking_uri())
    if file is not None and file.is_file() and Database(file).is_of_another():
        raise TrackingError(f"{file} is the database of another program: move it, or set MLFLOW_TRACKING_URI")
    return _with_mlflow()


def _with_mlflow() -> "MlflowStore":
    from orchestrator.store.mlflow import MlflowStore

    return MlflowStore()


def local_database() -> Database | None:
    """The database of the store that the environment names, if it can be read without MLflow."""
    file = database(tracking_uri())
    found = None if file is None or not file.is_file() else Database(file)
    return found if found is not None and found.readable() else None
