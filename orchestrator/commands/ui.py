"""`ui` as a function: MLflow's own server on the right store, reachable only from this machine by default.

The server is a child process that logs to a file. If one already serves the same store, it is reused.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, OrchError
from orchestrator.store.base import Store
from orchestrator.store.names import VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import open_store
from orchestrator.store.pages import VIEW_TAG, view_link
from orchestrator.store.place import database, store_exists, store_folder, tracking_uri

LOG = "ui.log"
_ABOUT = "ui.json"
"""A file next to the store with the address and process id of the last server started."""
_SLOWEST_START = 180.0
"""Maximum seconds to wait until the server answers."""
_GRACE = 10.0
"""Seconds to wait for the server to end before killing it."""


@dataclass(frozen=True)
class Server:
    """MLflow's server, started here or already running."""

    address: str
    store: str
    """The URI of the store it shows."""
    models: str | None
    """The address of the newest run's models side by side; None: no run has such a view yet."""
    log: Path
    process: subprocess.Popen[bytes] | None
    """None: it was already running."""

    def wait_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            OrchError: it has ended, or does not answer.
        """
        until = time.monotonic() + _SLOWEST_START
        while self.process is not None and not _answers(self.address):
            if self.process.poll() is not None:
                raise OrchError(f"MLflow's server has ended: {_last_line(self.log)} (its log: {self.log})")
            if time.monotonic() > until:
                self.stop()
                raise OrchError(f"MLflow's server does not answer at {self.address}; its log: {self.log}")
            time.sleep(0.1)

    def wait(self) -> None:
        """Wait until the server ends."""
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """Stop the server and its child processes, if it was started here."""
        if self.process is None:
            return
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE)
                break
        (self.log.with_name(_ABOUT)).unlink(missing_ok=True)


def ui(host: str = "127.0.0.1", port: int = 5000) -> Server:
    """Start MLflow's server on the store of the runs; then use `wait_ready`, `wait` and `stop`.

    Raises:
        InputError: there is no store yet, the store is itself a server, or the address is in use.
    """
    uri = tracking_uri()
    file = database(uri)
    if file is None:
        raise InputError(f"MLFLOW_TRACKING_URI is {uri}: that is where its UI is; unset it to see ./mlruns")
    if not store_exists():
        raise InputError(f"there is no store at {uri} yet; run a recipe first: orch run recipes/rft.yaml")
    folder = store_folder().resolve()
    experiment = _newest_with_view(open_store())
    link = None if experiment is None else view_link(experiment)
    if (running := _running(folder)) is not None:
        return Server(running, uri, link and f"{running}/{link}", folder / LOG, None)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            _command(uri if "%" not in uri else f"sqlite:///{file.name}", folder, host, port),
            cwd=file.parent,  # MLflow would create an empty folder named like the quoted path
            # without its job queue, MLflow starts two processes instead of nine
            env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends this process, which then ends the server
        )
    (folder / _ABOUT).write_text(json.dumps({"address": address, "process": process.pid}), encoding="utf-8")
    return Server(address, uri, link and f"{address}/{link}", folder / LOG, process)


def _command(uri: str, folder: Path, host: str, port: int) -> list[str]:
    options: dict[str, Any] = {
        "--backend-store-uri": uri,
        "--default-artifact-root": (folder / "artifacts").as_uri(),
        "--host": host,
        "--port": port,
        "--workers": 1,
    }
    return [sys.executable, "-m", "mlflow", "server", *(str(part) for option in options.items() for part in option)]


def _running(folder: Path) -> str | None:
    """The address of the last server started for the store in this folder; None if it no longer answers."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        os.kill(int(about["process"]), 0)
        address = str(about["address"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return address if _answers(address) else None


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _newest_with_view(store: Store) -> str | None:
    """The id of the experiment with the newest run, among those with a saved view of models."""
    with_view = {each.name: each.experiment_id for each in store.experiments() if VIEW_TAG in each.tags}
    newest = next(store.runs({VERB_TAG: WHOLE_RUN}, experiments=with_view, limit=1), None)
    return None if newest is None else with_view[newest.experiment]
