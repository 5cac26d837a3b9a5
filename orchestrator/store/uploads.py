"""Files that go to a store behind a server get the time they need: a model takes longer than a request for a few tags.

MLflow has one time-out for all of its requests. It is short here, so that a server that hangs is noticed; a server that
takes a model of several GB and passes it on to an object store answers when that is done.
"""

from typing import Any

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.store.artifact import http_artifact_repo

_LONG = 3600.0
"""Seconds, from when a file is sent to the answer."""
_request = http_artifact_repo.http_request


def _with_time(*arguments: Any, **named: Any) -> Any:
    """MLflow's request, its answer waited for where it sends a file.

    A file is sent a second time at the most, as a connection that the server has closed while it was idle is noticed
    only when it is used; whoever writes goes on trying.
    """
    if "data" in named:
        named = {"timeout": max(_LONG, MLFLOW_HTTP_REQUEST_TIMEOUT.get()), "max_retries": 1} | named
    return _request(*arguments, **named)


def give_uploads_time() -> None:
    """Have this process's uploads wait for their answers."""
    http_artifact_repo.http_request = _with_time
