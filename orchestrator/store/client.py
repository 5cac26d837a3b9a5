"""A client of the MLflow store whose failures to reach or write it are one line to the user, in the midst of a run too.

Where it has patience, it asks a store that does not answer again and again, and says so. Knows MLflow only through the
client it is given.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
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
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")
"""Codes of errors that waiting does not help."""
_LOCKED = (401, 403)
"""The same in HTTP."""
_AWAY = (502, 503, 504)
"""What a proxy says of a server behind it that does not answer."""
_AGAIN = 2.0
"""Seconds between two tries."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a run waits for a store that does not answer."""

    seconds: float
    """At the most."""
    tell: Callable[[str], None]
    """Called, on whatever thread, with what there is to say; with nothing once the store answers again."""


class StoreClient:
    """The client's methods, each of which raises TrackingError where the store cannot be reached or written."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri
        self.patience: Patience | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._told(found) if callable(found) else found

    def _told(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            since: float | None = None
            while True:
                try:
                    result = method(*arguments, **named)
                except Exception as error:  # mlflow lets database, HTTP and its own errors through alike
                    answered = getattr(error, "error_code", None) in _ANSWERS
                    if (answered and method.__name__ in _ASKED) or not is_of_the_store(error):
                        raise
                    if answered:
                        said = f"the MLflow store at {self._uri} refuses this: {first_line(error)}"
                        raise RefusalError(said) from None
                    since = time.monotonic() if since is None else since
                    if not self._waits(error, since):
                        raise TrackingError(unreachable(self._uri, error)) from None
                    time.sleep(_AGAIN)
                else:
                    if since is not None and (patience := self.patience) is not None:
                        patience.tell("")
                    return result

        return call

    def _waits(self, error: Exception, since: float) -> bool:
        """Whether to try again after an error, the first of which was at `since`."""
        patience = self.patience  # it ends, on another thread, when the run is given up
        if patience is None or self._uri.startswith("sqlite:") or not is_away(error):
            return False
        left = since + patience.seconds - time.monotonic()
        if left <= 0:
            return False
        until = time.strftime("%H:%M", time.localtime(time.time() + left))
        patience.tell(f"the store at {self._uri} does not answer; the run waits for it, until {until} at the most")
        return True


def is_away(error: BaseException) -> bool:
    """Whether a store did not answer, which may pass; not where it has refused, or its disk is full."""
    code = getattr(error, "error_code", None)
    if code in _REFUSED or disk_full(error, store_folder()) is not None:
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = str(error)
    return (
        code == "TEMPORARILY_UNAVAILABLE"
        or status in _AWAY
        or (status is None and type(error).__module__.partition(".")[0] in ("requests", "urllib3"))
        or "failed with exception" in said  # mlflow's words for a connection that was refused or broke off
        or any(f"error code {number}" in said for number in _AWAY)
        or "OperationalError" in said + type(error).__name__
    )


def is_of_the_store(error: BaseException) -> bool:
    """Whether an error came from the store, its database, its network or its disk."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _STORES


def unreachable(uri: str, error: BaseException) -> str:
    """What a user reads of a store that does not answer."""
    if (full := disk_full(error, store_folder())) is not None:
        here = isinstance(error, OSError) or uri.startswith("sqlite:///")
        return full if here else f"{PREFIX}the MLflow store at {uri} has no room left: {first_line(error)}"
    if "Host header" in str(error):
        return (
            f"the MLflow server at {uri} takes no request under this name: start it with --allowed-hosts and this host "
            "among them, or name it as it knows itself"
        )
    if _is_locked(error):
        return (
            f"the MLflow store at {uri} does not let you in: {first_line(error)}; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to what it knows you by"
        )
    elsewhere = "; or unset MLFLOW_TRACKING_URI to use ./mlruns" if os.environ.get("MLFLOW_TRACKING_URI") else ""
    return (
        f"the MLflow store at {uri} cannot be reached or written: {first_line(error)}; fix this and run the command "
        f"again: finished stages are reused{elsewhere}"
    )


def _is_locked(error: BaseException) -> bool:
    """Whether a store wants to know who asks, or lets others in alone."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = str(error)
    return (
        getattr(error, "error_code", None) in _REFUSED
        or status in _LOCKED
        or any(f"error code {number}" in said for number in _LOCKED)
    )


def first_line(error: BaseException) -> str:
    """An error in short."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
