"""A team's store, MLflow's server on Postgres: are metrics lost, and does the scheduler wait for a slow server?

    python -m benchmarks.postgres [--trials 200] [--gpus 8] [--latency 0.04]

Needs Debian's postgresql, and root to switch to its user. First, eight processes write the points of a training's
curves concurrently, and all points are counted. Then trials are walked on a simulated cluster, as in `many_trials`,
with the server behind a connection that adds the latency to every request.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import chdir, suppress
from pathlib import Path

from benchmarks.many_trials import walked
from orchestrator.store.mlflow import MlflowStore
from tests.support.composed import Machine, missing

_WRITERS, _STEPS, _CURVES = 8, 500, ("loss", "grad_norm", "learning_rate", "reward")


class SlowWay:
    """A proxy to a server that delays what is sent to it by `latency` seconds."""

    def __init__(self, port: int, latency: float) -> None:
        self._to, self._latency = ("127.0.0.1", port), latency
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, far = self._door.accept()[0], socket.create_connection(self._to)
            for ends in ((near, far, self._latency), (far, near, 0.0)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket, latency: float) -> None:
        held: deque[tuple[float, bytes]] = deque()
        came = threading.Condition()

        def pass_on() -> None:
            with suppress(OSError):
                while True:
                    with came:
                        came.wait_for(lambda: held)
                        due, data = held.popleft()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(data)

        threading.Thread(target=pass_on, daemon=True).start()
        with suppress(OSError):
            while True:
                data = source.recv(1 << 16)
                with came:
                    held.append((time.monotonic() + latency, data))
                    came.notify()
                if not data:
                    return


def write(number: int) -> None:
    """Write the curves of one training, a few points at a time, as a run does."""
    store = MlflowStore()
    run_id = store.start(store.experiment("writers"), f"training {number}", {}, {})
    for step in range(0, _STEPS, 5):
        records = [
            {"step": at, "time": int(time.time() * 1000), "metrics": dict.fromkeys(_CURVES, at + 0.5)}
            for at in range(step, step + 5)
        ]
        store.log_points(run_id, records)
    store.end(run_id, "FINISHED")


def counted() -> tuple[int, int]:
    """The numbers of points and of runs that the store has of the writers."""
    store = MlflowStore()
    runs = [*store.runs(experiments=["writers"])]
    return sum(len(store.history(run.run_id, name)) for run in runs for name in _CURVES), len(runs)


def main() -> None:
    """Print both results."""
    parser = argparse.ArgumentParser(description="A store on Postgres.")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.04, help="extra seconds per request")
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write is not None:
        write(asked.write)
        return
    if (why := missing()) is not None:
        raise SystemExit(why)
    with tempfile.TemporaryDirectory(prefix="postgres") as name, chdir(name):
        server = Machine(Path(name))
        with server.stack:
            server.postgres()
            server.begin("mlflow", MLFLOW_SERVER_ALLOWED_HOSTS="*")  # the slow proxy has its own address
            os.environ["MLFLOW_TRACKING_URI"] = server.environment("orch")["MLFLOW_TRACKING_URI"]
            began = time.monotonic()
            here = [sys.executable, "-m", "benchmarks.postgres", "--write"]
            repository = Path(__file__).parent.parent
            writers = [subprocess.Popen([*here, str(number)], cwd=repository) for number in range(_WRITERS)]
            assert all(writer.wait() == 0 for writer in writers)
            points, runs = counted()
            wanted = _WRITERS * _STEPS * len(_CURVES)
            print(
                f"{runs} concurrent writers: {points:,} of {wanted:,} points were stored, in "
                f"{time.monotonic() - began:.1f} s",
                flush=True,
            )
            os.environ["MLFLOW_TRACKING_URI"] = SlowWay(server.ports["mlflow"], asked.latency).address
            found = walked(asked.trials, asked.gpus, 2.0, MlflowStore(), Path(name) / "walk")
        waits = sorted(found.waits)
        print(
            f"{asked.trials} trials on {asked.gpus} GPUs in {found.seconds:.1f} s, {found.calls} calls of 2 s, "
            f"{1000 * asked.latency:.0f} ms longer for each request\n"
            f"a ready stage waits {1000 * waits[len(waits) // 2]:.0f} ms for a free GPU (median), "
            f"{1000 * waits[-1]:.0f} ms at most"
        )


if __name__ == "__main__":
    main()
