"""A store behind MLflow's own server, started as in docker-compose.yml but with SQLite."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import environment
from tests.support.machines import free_port


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of a server with an empty store in a folder that only the server reads."""
    port = free_port()
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "served")]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *places, "--port", str(port), "--workers", "1"],
        cwd=folder,
        env=environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while not _answers(address):
            assert server.poll() is None and time.monotonic() < end, "MLflow's server did not start"
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/health") as response:
        return bool(response.status == 200)
    return False
