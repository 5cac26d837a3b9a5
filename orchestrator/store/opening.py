"""The one place that opens a store. Loads mlflow only where a store is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from orchestrator.errors import InputError
from orchestrator.store.base import Store
from orchestrator.store.place import store_exists, tracking_uri

_IN_USE: ContextVar[Store | None] = ContextVar("store in use", default=None)


def open_store(create: bool = False) -> Store:
    """The store: the one in use, else that of `MLFLOW_TRACKING_URI` or ./mlruns, made with `create` where it is not.

    Raises:
        InputError: there is none yet, and it is not to be made.
        TrackingError: it cannot be reached or written.
    """
    if (store := _IN_USE.get()) is not None:
        return store
    if not create and not store_exists():
        raise InputError(f"there is no MLflow store at {tracking_uri()}; run a recipe first, or change to its folder")
    return connect()


def existing_store() -> Store | None:
    """The store, where there is one yet. Raises TrackingError where it cannot be reached or written."""
    return open_store() if store_in_use() or store_exists() else None


def store_in_use() -> bool:
    """Whether a store was named with `using`, in place of the one that the environment names."""
    return _IN_USE.get() is not None


@contextmanager
def using(store: Store) -> Iterator[None]:
    """Have whatever asks for the store meanwhile, in this thread, take this one."""
    before = _IN_USE.set(store)
    try:
        yield
    finally:
        _IN_USE.reset(before)


def connect() -> Store:
    """A new connection to the MLflow store."""
    from orchestrator.store.mlflow import MlflowStore

    return MlflowStore()
