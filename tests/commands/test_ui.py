"""`orch ui`: its addresses stay on the screen, Ctrl-C ends all of it, and a running server is found."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.commands import ui as module
from orchestrator.errors import InputError, OrchError
from tests.conftest import call, command, environment
from tests.support.machines import free_port
from tests.support.tables import tables


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with an empty store."""
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(tables())
    return tmp_path


def test_it_serves_is_found_and_ends_with_all_its_processes(store: Path) -> None:
    port = free_port()
    said = store / "said"
    with said.open("w") as out:
        server = subprocess.Popen(
            command("ui", "--port", str(port)),
            cwd=store,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests may run with it ignored
        )
    try:
        until = time.monotonic() + 120
        while "Ready" not in said.read_text():
            assert server.poll() is None and time.monotonic() < until, said.read_text()
            time.sleep(0.2)
        lines = said.read_text().splitlines()
        assert lines[0].startswith(f"MLflow UI: http://127.0.0.1:{port}  (store: sqlite:///")
        assert "Once a run is done" in lines[1] and lines[2].endswith("mlruns/ui.log") and len(lines) == 3
        again = call(store, "ui", "--port", str(free_port()))
        assert again.code == 0 and f"MLflow UI: http://127.0.0.1:{port}  (store: " in again.out
        assert "is running)" in again.out
        everyone = psutil.Process(server.pid).children(recursive=True)
        assert everyone
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert said.read_text().splitlines()[-1] == "The server has stopped." and "Traceback" not in said.read_text()
        _, alive = psutil.wait_procs(everyone, 20)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
        assert not (store / "mlruns" / "ui.json").exists()
    finally:
        server.terminate()
        server.wait(60)


def test_an_address_that_is_taken_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"cannot listen on 127\.0\.0\.1:.*choose another with --port"):
            module.ui(port=taken.getsockname()[1])


def test_a_server_that_ends_at_once_is_told_by_its_last_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(module, "_command", lambda *_: ["sh", "-c", "echo it cannot start; exit 1"])
    server = module.ui(port=free_port())
    with pytest.raises(OrchError, match=r"MLflow's server has ended: it cannot start \(its log: .*ui.log\)"):
        server.wait_ready()
    server.stop()
