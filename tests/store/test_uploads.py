"""A server that is slow to accept a file is waited for; one that is slow to answer a query is not."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from orchestrator.store import connection  # noqa: F401  # as everywhere orch uses MLflow

SLOW = 2.5
"""Seconds until the server answers."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that accepts files, and the files it was sent."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    sent: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            time.sleep(SLOW)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """No log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts", sent
        listening.shutdown()
        thread.join()


def test_a_file_is_waited_for(server: tuple[str, list[bytes]], tmp_path: Path) -> None:
    address, sent = server
    (tmp_path / "model.safetensors").write_bytes(b"weights" * 1000)
    HttpArtifactRepository(address).log_artifacts(str(tmp_path))
    assert sent == [b"weights" * 1000]


def test_a_file_is_sent_again_where_the_connection_breaks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"rows" * 100_000)
    taken: list[bytes] = []

    class Breaking(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            if len(taken) == 1:  # closed silently, like one that was idle for too long
                return
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """No log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{listening.server_address[1]}/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts"
        try:
            HttpArtifactRepository(address).log_artifacts(str(tmp_path))
        finally:
            listening.shutdown()
            thread.join()
    assert taken == [b"rows" * 100_000] * 2


def test_a_question_is_not(server: tuple[str, list[bytes]]) -> None:
    with pytest.raises(MlflowException, match="Read timed out"):
        HttpArtifactRepository(server[0]).list_artifacts()
