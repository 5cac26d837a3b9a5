"""Files that go to a store behind a server get the time they need: a model takes longer than a request for a few tags.

MLflow has one time-out for all of its requests. It is short here, so that a server that hangs is noticed; a server that
takes a model of several GB and passes it on to an object store answers when that is done.
"""

from typing import Any

from mlflow.store.artifact import http_artifact_repo

_LONG = 6 * 3600
"""Seconds."""
_request = http_artifact_repo.http_request


def _with_time(*arguments: Any, **named: Any) -> Any:
    """MLflow's request, its answer waited for where it sends a file."""
    return _request(*arguments, **({"timeout": _LONG} if "data" in named else {}) | named)


def give_uploads_time() -> None:
    """Have this process's uploads wait for their answers."""
    http_artifact_repo.http_request = _with_time
