"""Check that sampling disturbed at random moments draws exactly what undisturbed sampling draws.

    python -m benchmarks.chaos [--moments 20] [--seed 0] [--away 60]

At each moment, after a random number of shards, one of these happens, in rotation: a worker is killed, the driver is
killed with all its workers, the Ray node is killed, the disk fills up, or the store is down for `--away` seconds. The
command is then repeated until it succeeds, and its completions (question, draw and text) are compared with the
undisturbed ones. Existing shards that are drawn again are counted. Needs Linux and root: each run gets its own small
disk.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from orchestrator.store.mlflow import MlflowStore
from tests.support.gate import Gate
from tests.support.served import mlflow_server

SHARDS, EACH, DRAWS = 60, 32, 4
RECIPE = f"""\
name: chaos
task: {{type: units, demonstrations: {{generate: 4}}, train: {{generate: {SHARDS * EACH // DRAWS}}}, \
test: {{generate: 4}}}}
model: {{name: tiny}}
stages:
  samples: {{type: sample, model: base, n: {DRAWS}, batch_size: {EACH}, max_tokens: 96}}
evaluate: {{models: [base]}}
"""
KINDS = ("worker", "driver", "node", "disk", "store")
_TRIES = 4
"""Maximum number of times the command is repeated after a disturbance."""
_LONGEST = 900.0
"""Time limit for one command, in seconds."""

Rows = list[tuple[str, int, str]]


@contextmanager
def disk() -> Iterator[Path]:
    """A small disk that can be filled."""
    with tempfile.TemporaryDirectory(prefix="chaos") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


@contextmanager
def served() -> Iterator[Gate]:
    """A store behind MLflow's server, reached through the gate."""
    with tempfile.TemporaryDirectory(prefix="served") as name, mlflow_server(Path(name)) as address:
        yield Gate(address)


class Shards:
    """Watches the shards in a folder: counts them, and those that are written again."""

    def __init__(self, folder: Path) -> None:
        self.again, self._folder, self._seen = 0, folder, dict[Path, int]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @property
    def there(self) -> int:
        """Number of shards seen so far."""
        return len(self._seen)

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            for path in self._folder.glob("mlruns/work/*/shard-*.parquet"):
                with suppress(FileNotFoundError):
                    written = path.stat().st_mtime_ns
                    self.again += self._seen.get(path, written) != written
                    self._seen[path] = written

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()


@dataclass
class Sampling:
    """A run in its own folder."""

    folder: Path
    store: str
    """The address of its store; if empty, the store is in its folder."""

    def begin(self) -> "subprocess.Popen[bytes]":
        """Start the command."""
        (self.folder / "recipe.yaml").write_text(RECIPE)
        where = {"MLFLOW_TRACKING_URI": self.store} if self.store else {}
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", "run", "recipe.yaml", "--json"],
                cwd=self.folder,
                env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | where,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def drawn(self) -> Rows:
        """The run's completions."""
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if self.store:
            os.environ["MLFLOW_TRACKING_URI"] = self.store
        os.chdir(self.folder)
        store = MlflowStore()
        last = store.last()
        assert last is not None
        made = store.find(store.children(last.run_id)["samples"].origin)
        rows = pq.read_table(store.artifact(made, "completions.parquet")).to_pylist()
        os.chdir("/")
        return [(row["example_id"], row["draw"], row["text"]) for row in rows]


def _processes(driver: int, named: Callable[[str], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.Error):
            if named(" ".join(process.cmdline()) or process.name()):
                found.append(process)
    return found


def disturb(kind: str, run: "subprocess.Popen[bytes]", folder: Path, gate: Gate, away: float, chance: Any) -> None:
    """Cause a disturbance; afterwards free the disk again, or reopen the store."""
    if kind == "worker":
        busy = _processes(run.pid, lambda name: name.startswith("ray::_"))  # not Ray's own agents
        chance.choice(busy).kill()
    elif kind == "driver":
        os.killpg(run.pid, signal.SIGKILL)
    elif kind == "node":
        [node] = _processes(run.pid, lambda name: "/raylet" in name.split(" ")[0])
        node.kill()
    elif kind == "disk":
        with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        with suppress(subprocess.TimeoutExpired):
            run.wait(60)
        (folder / "filler").unlink()
    else:
        gate.shut()
        time.sleep(away)
        gate.reopen()


def disturbed(kind: str, gate: Gate, away: float, chance: Any) -> tuple[Rows, int, int, int]:
    """Disturb a run once: its completions, the shards before that, the commands it took, and the shards drawn again."""
    with disk() as mounted:
        sampling = Sampling(mounted / "run", gate.address if kind == "store" else "")
        sampling.folder.mkdir()
        shards, after = Shards(sampling.folder), chance.randrange(1, SHARDS - 4)
        run, commands = sampling.begin(), 1
        try:
            while shards.there < after:
                if run.poll() is not None:
                    raise SystemExit((mounted / "run.log").read_text() + "the run ended before it could be disturbed")
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 0.3))
            disturb(kind, run, mounted, gate, away, chance)
            while run.wait(_LONGEST) != 0:
                if commands > _TRIES:
                    raise SystemExit((mounted / "run.log").read_text() + "the command keeps failing")
                run, commands = sampling.begin(), commands + 1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            shards.stop()
        return sampling.drawn(), after, commands, shards.again


def main() -> None:
    """Print the outcome of each moment."""
    parser = argparse.ArgumentParser(description="Sampling disturbed at random moments.")
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--away", type=float, default=60.0, help="seconds the store is down")
    asked = parser.parse_args()
    chance, same = random.Random(asked.seed), 0
    with disk() as mounted:
        calm = Sampling(mounted / "run", "")
        calm.folder.mkdir()
        began = time.monotonic()
        if calm.begin().wait() != 0:
            raise SystemExit((mounted / "run.log").read_text())
        rows = calm.drawn()
    print(f"undisturbed: {len(rows):,} completions in {SHARDS} shards, {time.monotonic() - began:.0f} s", flush=True)
    for moment in range(asked.moments):
        kind = KINDS[moment % len(KINDS)]
        with served() as gate:  # its own store each time, or the next run would reuse this output
            found, after, commands, again = disturbed(kind, gate, asked.away, chance)
        same += found == rows
        print(
            f"{moment + 1}. {kind} after {after} shards: {len(found):,} completions after {commands} commands, "
            f"{'the same' if found == rows else 'NOT the same'}; {again} shards drawn again",
            flush=True,
        )
    print(f"{same} of {asked.moments} moments: exactly the undisturbed completions")


if __name__ == "__main__":
    main()
