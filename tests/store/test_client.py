"""A store that does not respond: what waits for it, for how long, and what is reported."""

import time

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE

from orchestrator.errors import TrackingError
from orchestrator.store import client as module
from orchestrator.store.client import Patience, StoreClient

SERVER = "http://127.0.0.1:5000"


def failed(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError("no", response=answer)


AWAY = [
    MlflowException("API request to http://x failed with exception HTTPConnectionPool(...)", INTERNAL_ERROR),
    MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''", INTERNAL_ERROR),
    MlflowException("(psycopg.OperationalError) the connection failed", TEMPORARILY_UNAVAILABLE),
    requests.ConnectionError("refused"),
    requests.ReadTimeout("slow"),
    failed(502),
]
HERE = [
    MlflowException("no", PERMISSION_DENIED),
    MlflowException("a fault of the server's own", INTERNAL_ERROR),
    failed(401),
    failed(500),
    failed(413),
    OSError(28, "No space left on device"),
]


class Client:
    """Fails with this error the given number of times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.asked = error, times, 0

    def log_batch(self) -> str:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.01)


@pytest.mark.parametrize("error", AWAY, ids=str)
def test_a_store_that_is_away_is_waited_for(error: Exception) -> None:
    client, said = Client(error, 3), list[str]()
    store = StoreClient(client, SERVER)
    store.patience = Patience(60, said.append)
    assert store.log_batch() == "done" and client.asked == 4
    assert len(said) == 4 and said[-1] == ""
    assert said[0].startswith(f"the store at {SERVER} is not responding; the run waits for it until ")


@pytest.mark.parametrize("error", HERE, ids=str)
def test_one_that_has_answered_is_not(error: Exception) -> None:
    client, said = Client(error, 1), list[str]()
    store = StoreClient(client, SERVER)
    store.patience = Patience(60, said.append)
    with pytest.raises(TrackingError):
        store.log_batch()
    assert client.asked == 1 and said == []


@pytest.mark.parametrize("error", [HERE[0], failed(401), failed(403)], ids=str)
def test_who_is_not_let_in_is_told_what_to_set(error: Exception) -> None:
    with pytest.raises(TrackingError, match=r"denied access.*set MLFLOW_TRACKING_USERNAME"):
        StoreClient(Client(error, 1), SERVER).log_batch()


def test_a_server_that_takes_no_such_name_is_told_from_one_that_is_locked() -> None:
    said = "API request to endpoint /x failed with error code 403 != 200. Response body: 'Invalid Host header'"
    with pytest.raises(TrackingError, match="start it with --allowed-hosts"):
        StoreClient(Client(MlflowException(said, INTERNAL_ERROR), 1), SERVER).log_batch()


def test_nobody_waits_without_patience_or_for_a_file() -> None:
    for uri, patience in ((SERVER, None), ("sqlite:///x.db", Patience(60, lambda text: None))):
        client = Client(AWAY[0], 1)
        store = StoreClient(client, uri)
        store.patience = patience
        with pytest.raises(TrackingError, match="cannot be reached"):
            store.log_batch()
        assert client.asked == 1


def test_patience_has_an_end_and_can_be_taken_back() -> None:
    client, said = Client(AWAY[0], 10**9), list[str]()
    store = StoreClient(client, SERVER)
    store.patience = Patience(0.1, said.append)
    began = time.monotonic()
    with pytest.raises(TrackingError, match="cannot be reached"):
        store.log_batch()
    assert time.monotonic() - began >= 0.1 and client.asked > 2

    def once(text: str) -> None:
        store.patience = None

    store.patience, client.asked = Patience(3600, once), 0
    with pytest.raises(TrackingError):
        store.log_batch()
    assert client.asked == 2
