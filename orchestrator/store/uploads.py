"""Gives uploads to a store behind a server the time they need: a model takes longer than a request for a few tags.

MLflow has one timeout for all of its requests. It is short here, so that a hanging server is noticed; but a server that
receives a model of several GB and passes it on to an object store responds only when that is done.
"""

from typing import Any

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.store.artifact import http_artifact_repo

_LONG = 3600.0
"""Seconds from sending a file to the response."""
_request = http_artifact_repo.http_request


def _with_time(*arguments: Any, **named: Any) -> Any:
    """MLflow's request, with a long timeout if it sends a file.

    The file is resent at most once, since a connection that the server closed while it was idle is noticed only when it
    is used; further retries are up to the caller.
    """
    if "data" in named:
        named = {"timeout": max(_LONG, MLFLOW_HTTP_REQUEST_TIMEOUT.get()), "max_retries": 1} | named
    return _request(*arguments, **named)


def give_uploads_time() -> None:
    """Make this process's uploads wait for their responses."""
    http_artifact_repo.http_request = _with_time
