"""A store that requires a login (MLflow's basic-auth app), and two users of it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from orchestrator.errors import TrackingError
from orchestrator.store.mlflow import MlflowStore
from tests.conftest import call, environment
from tests.support.machines import free_port

ADMIN, USER = ("admin", "an administrator's password"), ("somebody", "a user's own password")
SETTINGS = """\
[mlflow]
default_permission = EDIT
database_uri = sqlite:///{folder}/users.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with an administrator."""
    folder, port = tmp_path_factory.mktemp("locked"), free_port()
    (folder / "auth.ini").write_text(SETTINGS.format(folder=folder))
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of this test",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "served")]
    app = ["--app-name", "basic-auth", "--port", str(port), "--workers", "1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *places, *app],
            cwd=folder,
            env=environment() | own,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while not _answers(address):
            assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/health").close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def known_as(monkeypatch: pytest.MonkeyPatch, address: str, who: tuple[str, str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", who[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", who[1])


def test_who_has_no_name_or_a_wrong_word_is_told_what_to_set(
    locked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = call(tmp_path, "runs", MLFLOW_TRACKING_URI=locked)
    assert called.code == 2 and called.err.count("\n") == 1, called.err
    assert f"the MLflow store at {locked} denied access" in called.err
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in called.err
    known_as(monkeypatch, locked, (ADMIN[0], "not this"))
    with pytest.raises(TrackingError, match="denied access"):
        MlflowStore()


def test_two_users_share_what_is_there(locked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_as(monkeypatch, locked, ADMIN)
    made = requests.post(
        f"{locked}/api/2.0/mlflow/users/create", json={"username": USER[0], "password": USER[1]}, auth=ADMIN, timeout=60
    )
    assert made.ok, made.text
    file = tmp_path / "folder" / "a.txt"
    file.parent.mkdir()
    file.write_text("made by one")
    one = MlflowStore()
    experiment = one.experiment("shared")
    run = one.start(experiment, "stage", {"orch.key": "k"}, {})
    one.log_folder(run, file.parent)
    one.end(run, "FINISHED")
    known_as(monkeypatch, locked, USER)
    other = MlflowStore()
    [found] = other.runs({"orch.key": "k"}, experiments=["shared"])
    assert other.artifact(found, "a.txt").read_text() == "made by one"
    assert other.experiment("shared") == experiment
    own = other.start(experiment, "another stage", {}, {})
    other.log(own, {"accuracy": 0.5})
    other.end(own, "FINISHED")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "forgotten")
    with pytest.raises(TrackingError, match="denied access"):
        other.log(own, {"accuracy": 0.6})
