"""The folder for work in progress, and who is at work in it.

`work/<key>` holds a stage's shards or checkpoints until the stage is finished. A lock per stage keeps two runs from
making the same thing twice; the operating system lets go of it when its holder dies, however it dies.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from orchestrator.errors import InputError
from orchestrator.runs.worker_log import forget_log
from orchestrator.stages.context import BEGUN

LOCKS = "locks"
_INPUTS = "inputs"
GUEST = "guest"
"""In a folder that is not this machine's own: it was made for a driver on another machine, which clears it."""
CALL = "call-"
"""Of the locks that calls hold on a machine that does not see the driver's work folder."""
_ABOUT = "stage.json"
_NOTES = ("journal.jsonl", "journal.tmp", _ABOUT, BEGUN)
"""What jobs tell of their progress; no work is in it."""
MIN_FREE = 256 * 1024 * 1024
"""Bytes that must be free before a run starts: a run that fills the disk loses what it was writing."""


class Names(Protocol):
    """Names of which one process has each alone, also where processes do not see each other's folders."""

    def take(self, name: str) -> bool:
        """Whether the name is this process's from now on."""
        ...

    def free(self, name: str) -> None:
        """Let go of a name."""
        ...


class Copy(Protocol):
    """A copy of the folder elsewhere, kept while stages work."""

    problem: str | None
    """Why what was written last is not in it."""

    def begin(self, key: str) -> None:
        """A stage is about to run: its folder, if it is empty here, is filled from the copy."""
        ...

    def remove(self, key: str) -> None:
        """A stage is finished: what it left is not needed any more."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class WorkFolder:
    """Where stages work. `to_run`: it is looked at first whether a run can write to it, and has room there."""

    def __init__(self, root: Path, to_run: bool = True) -> None:
        self.root = root = root.resolve()
        self.copy: Copy | None = None
        self.names: Names | None = None
        """Where others that this folder's locks do not reach may make the same: a lock takes its name there too."""
        self._made: list[Path] = []
        """The folders that were not there before, the innermost first."""
        if to_run:
            self._prepare(root)

    def _prepare(self, root: Path) -> None:
        there = next(p for p in (root, *root.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE:
            raise InputError(
                f"storage: {root} has {free / 2**20:.0f} MB free, a run needs {MIN_FREE / 2**20:.0f} MB at least; "
                "make room, or name another folder with storage=FOLDER"
            )
        locks = root / LOCKS
        self._made = [p for p in (locks, *locks.parents) if not p.exists()]
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=locks):  # a folder that is there may still be read-only
                pass
            (root / GUEST).unlink(missing_ok=True)  # from now on there is work of this machine's in it
        except OSError as error:
            raise InputError(f"storage: {root} cannot be written: {error.strerror}; name another folder") from None

    def withdraw(self) -> None:
        """Leave no empty folder behind, where nothing came of a run."""
        with suppress(OSError):  # not empty: somebody else works here by now
            for folder in self._made:
                folder.rmdir()

    def folder(self, key: str) -> Path:
        """A stage's own folder."""
        path = self.root / key
        path.mkdir(exist_ok=True)
        if self.copy is not None:
            self.copy.begin(key)
        return path

    def note(self, key: str, about: Mapping[str, str]) -> None:
        """Write down whose work a folder holds, for whoever cleans up."""
        (self.root / key / _ABOUT).write_text(json.dumps(dict(about)), encoding="utf-8")

    @staticmethod
    def about(folder: Path) -> dict[str, str]:
        """What was noted of a folder; empty where nothing was, or it cannot be read."""
        try:
            found = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def remove(self, key: str) -> None:
        """Forget a finished stage's work."""
        shutil.rmtree(self.root / key, ignore_errors=True)
        if self.copy is not None:
            self.copy.remove(key)

    def close(self) -> None:
        """The run has ended: a copy has what it is to have."""
        if self.copy is not None:
            self.copy.close()

    def give_back(self, key: str) -> None:
        """Forget a failed stage's work where there is nothing to go on from: no shard, no checkpoint, no model.

        Its log is forgotten in any case: the store has it.
        """
        folder = self.root / key
        forget_log(folder)
        if not any(file.is_file() and file.name not in _NOTES for file in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)  # a copy elsewhere may hold what this machine never had

    def share(self, folder: Path, name: str) -> Path:
        """A copy of a file or folder where all machines see it, under `inputs/`; made once, whole or not at all."""
        shared = self.root / _INPUTS / f"{name}{folder.suffix}"
        if not shared.exists():
            shared.parent.mkdir(exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=shared.parent))
            try:
                copy = shutil.copyfile if folder.is_file() else shutil.copytree
                Path(copy(folder, temporary / folder.name)).rename(shared)
            except OSError:
                if not shared.exists():  # otherwise another run was faster
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return shared

    def forget_inputs(self, prefix: str) -> None:
        """Remove what was shared, unless a run is at work here: one that holds a lock with this prefix."""
        inputs = self.root / _INPUTS
        if inputs.exists() and not any((self.root / LOCKS).glob(f"{prefix}*")):
            gone = inputs.rename(inputs.with_name(f"{_INPUTS}-{os.getpid()}"))  # at once: the next run may begin now
            shutil.rmtree(gone, ignore_errors=True)

    def lock(self, key: str) -> FileLock | None:
        """The lock of a stage or of a plan, held; None while another process holds it."""
        lock = FileLock(self.root / LOCKS / key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        if self.names is not None and not self.names.take(key):
            self._let_go(lock)
            return None
        return lock

    def abandoned(self, prefix: str) -> Iterator[str]:
        """Keys whose holder is gone without releasing them."""
        for path in (self.root / LOCKS).glob(f"{prefix}*"):
            lock = self.lock(path.name)
            if lock is not None:
                yield path.name.removeprefix(prefix)
                self.release(lock)

    def release(self, lock: FileLock) -> None:
        """Let go of a lock and leave nothing behind."""
        if self.names is not None:
            self.names.free(Path(lock.lock_file).name)
        self._let_go(lock)

    @staticmethod
    def _let_go(lock: FileLock) -> None:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def at_work(root: Path, key: str) -> bool:
    """Whether a process holds the lock of a stage or of a plan. Takes no lock that nobody has made."""
    path = root / LOCKS / key
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; what goes away meanwhile is not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def contents_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file in a folder; empty where there is no folder."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
