"""An MLflow store client that reports failures to reach or write the store to the user in one line, even mid-run.

With patience, it keeps retrying a store that does not respond, and says so. Knows MLflow only through the client it is
given.
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
"""Methods whose callers handle refusals themselves."""
_ANSWERS = ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE")
"""Error codes that are an answer to the request."""
_STORES = ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3")
"""Packages whose errors count as store errors; any other error is a bug in orch and is shown as one."""
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")
"""Error codes that waiting does not fix."""
_LOCKED = (401, 403)
"""The same, as HTTP status codes."""
_AWAY = (502, 503, 504)
"""HTTP status codes from a proxy whose server does not respond."""
_AGAIN = 2.0
"""Seconds between two attempts."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a run waits for a store that does not respond."""

    seconds: float
    """Maximum wait."""
    tell: Callable[[str], None]
    """Called, on any thread, with a message to show; with an empty one once the store responds again."""


class StoreClient:
    """The client's methods, each of which raises TrackingError if the store cannot be reached or written."""

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
                except Exception as error:  # mlflow passes on database, HTTP and its own errors alike
                    answered = getattr(error, "error_code", None) in _ANSWERS
                    if (answered and method.__name__ in _ASKED) or not is_of_the_store(error):
                        raise
                    if answered:
                        said = f"the MLflow store at {self._uri} rejected the request: {first_line(error)}"
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
        """Whether to retry after an error; the first one was at `since`."""
        patience = self.patience  # another thread resets it when the run is abandoned
        if patience is None or self._uri.startswith("sqlite:") or not is_away(error):
            return False
        left = since + patience.seconds - time.monotonic()
        if left <= 0:
            return False
        until = time.strftime("%H:%M", time.localtime(time.time() + left))
        patience.tell(f"the store at {self._uri} is not responding; the run waits for it until {until} at the latest")
        return True


def is_away(error: BaseException) -> bool:
    """Whether a store did not respond, which may be temporary; False if it refused or its disk is full."""
    code = getattr(error, "error_code", None)
    if code in _REFUSED or disk_full(error, store_folder()) is not None:
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = str(error)
    return (
        code == "TEMPORARILY_UNAVAILABLE"
        or status in _AWAY
        or (status is None and type(error).__module__.partition(".")[0] in ("requests", "urllib3"))
        or "failed with exception" in said  # mlflow's words for a connection that was refused or dropped
        or any(f"error code {number}" in said for number in _AWAY)
        or "OperationalError" in said + type(error).__name__
    )


def is_of_the_store(error: BaseException) -> bool:
    """Whether an error came from the store, its database, its network or its disk."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _STORES


def unreachable(uri: str, error: BaseException) -> str:
    """The message to the user about a store that cannot be reached or written."""
    if (full := disk_full(error, store_folder())) is not None:
        here = isinstance(error, OSError) or uri.startswith("sqlite:///")
        return full if here else f"{PREFIX}the MLflow store at {uri} has no room left: {first_line(error)}"
    if "Host header" in str(error):
        return (
            f"the MLflow server at {uri} rejects requests under this host name: start it with --allowed-hosts "
            "including this host, or use a name it accepts"
        )
    if _is_locked(error):
        return (
            f"the MLflow store at {uri} denied access: {first_line(error)}; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to your credentials for it"
        )
    elsewhere = "; or unset MLFLOW_TRACKING_URI to use ./mlruns" if os.environ.get("MLFLOW_TRACKING_URI") else ""
    return (
        f"the MLflow store at {uri} cannot be reached or written: {first_line(error)}; fix this and run the command "
        f"again: finished stages are reused{elsewhere}"
    )


def _is_locked(error: BaseException) -> bool:
    """Whether a store requires authentication, or denies this user access."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = str(error)
    return (
        getattr(error, "error_code", None) in _REFUSED
        or status in _LOCKED
        or any(f"error code {number}" in said for number in _LOCKED)
    )


def first_line(error: BaseException) -> str:
    """The first line of an error, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
