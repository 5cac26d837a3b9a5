"""Several machines of a Ray cluster, all on this one, that cannot see each other's folders.

Each has its own address and mounts: the given folders are empty there. This needs root.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.conftest import environment

_START = 'for folder; do mount -t tmpfs tmpfs "$folder"; done; exec $RAY'
_TRIES = 3


def free_port() -> int:
    """A free port that the system does not assign to processes that ask for any port, as Ray's do."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@dataclass
class Machines:
    """A head, which accepts no work and on which the driver runs, and machines that accept work."""

    ray_folder: Path
    apart: Path
    """A folder in whose place each machine has its own, empty one."""
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def driver(self) -> dict[str, str]:
        """The environment with which a driver joins."""
        return {"RAY_ADDRESS": f"127.0.0.1:{self.port}", "RAY_AUTH_MODE": "disabled"}

    def start_head(self) -> None:
        own = ["--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={self.ray_folder}"]
        words = self._ray(*own, "--include-dashboard=false", address="127.0.0.1")
        self._begin("head", words, {})

    def start(self, cpus: int = 1) -> int:
        """Start another machine; return its number."""
        number = len(self.processes)
        words = self._ray(f"--address=127.0.0.1:{self.port}", f"--num-cpus={cpus}", address=f"127.0.0.{number + 1}")
        folders = [str(self.ray_folder), str(self.apart)]
        unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "sh", *folders]
        return self._begin(f"machine {number}", unshared, {"RAY": " ".join(words)})

    @staticmethod
    def _ray(*words: str, address: str) -> list[str]:
        size = "--object-store-memory=100000000"
        return [sys.executable, "-m", "ray.scripts.scripts", "start", *words, f"--node-ip-address={address}", size,
                "--block", "--disable-usage-stats"]  # fmt: skip

    def _begin(self, name: str, words: list[str], env: dict[str, str]) -> int:
        """Start a machine; retry if Ray does not come up within its own time limit, as under load."""
        said = self.apart / f"{name}.log"
        surroundings = {k: v for k, v in environment().items() if k != "RAY_OVERRIDE_RESOURCES"} | env
        surroundings |= {"RAY_AUTH_MODE": "disabled", "OMP_WAIT_POLICY": "PASSIVE"}
        for left in reversed(range(_TRIES)):
            with said.open("wb") as log:
                process = subprocess.Popen(
                    words, env=surroundings, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
                )
            self.processes.append(process)
            number = len(self.processes) - 1
            while process.poll() is None:
                if "Ray runtime started" in said.read_text():
                    return number
                time.sleep(0.1)
            self.kill(number)
            assert left, said.read_text()
        raise AssertionError(name)

    def kill(self, number: int) -> None:
        """Kill a machine and everything that runs on it."""
        for pid in self._family(number):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.processes[number].wait()

    def that_runs(self, pid: int) -> int:
        """The number of the machine on which a process runs."""
        return next(number for number in range(len(self.processes)) if pid in self._family(number))

    def _family(self, number: int) -> list[int]:
        """The processes of a machine."""
        first = self.processes[number].pid
        with suppress(psutil.NoSuchProcess):
            return [first, *(child.pid for child in psutil.Process(first).children(recursive=True))]
        return [first]


@contextmanager
def machines(apart: Path) -> Iterator[Machines]:
    """A cluster with a head and no other machine yet."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("machines that share no folder need root and unshare")
    with TemporaryDirectory(prefix="ray") as folder:  # Ray's sockets need a short path
        made = Machines(Path(folder), apart)
        try:
            made.start_head()
            yield made
        finally:
            for number in reversed(range(len(made.processes))):
                made.kill(number)
