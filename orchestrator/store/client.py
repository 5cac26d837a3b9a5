"""A client of the MLflow store whose failures to reach or write it are one line to the user, in the midst of a run too.

Knows MLflow only through the client it is given.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from orchestrator.errors import RefusalError, TrackingError
from orchestrator.store.disk_space import PREFIX, disk_full
from orchestrator.store.place import store_folder

_ASKED = ("get_run", "create_experiment")
"""Methods whose refusals callers make something of."""
_ANSWERS = ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE")
"""Codes of errors with which the store has answered what it was asked."""
_STORES = ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3")
"""Packages whose errors are those of a store; any other is a mistake of orch's, and shows as one."""


class StoreClient:
    """The client's methods, each of which raises TrackingError where the store cannot be reached or written."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._told(found) if callable(found) else found

    def _told(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return method(*arguments, **named)
            except Exception as error:  # mlflow lets database, HTTP and its own errors through alike
                answered = getattr(error, "error_code", None) in _ANSWERS
                if (answered and method.__name__ in _ASKED) or not is_of_the_store(error):
                    raise
                if answered:
                    raise RefusalError(f"the MLflow store at {self._uri} refuses this: {first_line(error)}") from None
                raise TrackingError(unreachable(self._uri, error)) from None

        return call


def is_of_the_store(error: BaseException) -> bool:
    """Whether an error came from the store, its database, its network or its disk."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _STORES


def unreachable(uri: str, error: BaseException) -> str:
    """What a user reads of a store that does not answer."""
    if (full := disk_full(error, store_folder())) is not None:
        here = isinstance(error, OSError) or uri.startswith("sqlite:///")
        return full if here else f"{PREFIX}the MLflow store at {uri} has no room left: {first_line(error)}"
    elsewhere = "; or unset MLFLOW_TRACKING_URI to use ./mlruns" if os.environ.get("MLFLOW_TRACKING_URI") else ""
    return (
        f"the MLflow store at {uri} cannot be reached or written: {first_line(error)}; fix this and run the command "
        f"again: finished stages are reused{elsewhere}"
    )


def first_line(error: BaseException) -> str:
    """An error in short."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
