"""The folder for work in progress, and its locks.

`work/<key>` holds a stage's shards or checkpoints until the stage is finished. A lock per stage keeps two runs from
doing the same work; the operating system releases it when its holder dies, however that happens.
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
"""Marks a folder that is not this machine's own: it was created for a driver on another machine, which clears it."""
CALL = "call-"
"""Prefix of the locks that calls hold on a machine that does not see the driver's work folder."""
_ABOUT = "stage.json"
_NOTES = ("journal.jsonl", "journal.tmp", _ABOUT, BEGUN)
"""Files that only track progress, and contain no work."""
MIN_FREE = 256 * 1024 * 1024
"""Bytes that must be free before a run starts: a run that fills the disk loses what it was writing."""


class Names(Protocol):
    """Names that only one process can hold at a time, even if processes do not see each other's folders."""

    def take(self, name: str) -> bool:
        """Take a name; return whether this process holds it now."""
        ...

    def free(self, name: str) -> None:
        """Release a name."""
        ...


class Copy(Protocol):
    """A copy of the folder elsewhere, updated while stages run."""

    problem: str | None
    """Why the latest files are not in it."""

    def begin(self, key: str) -> None:
        """A stage is about to run: fill its folder from the copy, if it is empty here."""
        ...

    def remove(self, key: str) -> None:
        """A stage is finished: its copy is no longer needed."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class WorkFolder:
    """The folder in which stages work. `to_run`: first check that a run can write to it and has room there."""

    def __init__(self, root: Path, to_run: bool = True) -> None:
        self.root = root = root.resolve()
        self.copy: Copy | None = None
        self.names: Names | None = None
        """For drivers that may run the same stage but do not see these locks: a lock takes its name here too."""
        self._made: list[Path] = []
        """The folders that did not exist before, innermost first."""
        if to_run:
            self._prepare(root)

    def _prepare(self, root: Path) -> None:
        there = next(p for p in (root, *root.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE:
            raise InputError(
                f"storage: {root} has {free / 2**20:.0f} MB free, but a run needs at least {MIN_FREE / 2**20:.0f} MB; "
                "make room, or name another folder with storage=FOLDER"
            )
        locks = root / LOCKS
        self._made = [p for p in (locks, *locks.parents) if not p.exists()]
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=locks):  # an existing folder may still be read-only
                pass
            (root / GUEST).unlink(missing_ok=True)  # from now on it contains this machine's own work
        except OSError as error:
            raise InputError(f"storage: {root} cannot be written: {error.strerror}; name another folder") from None

    def withdraw(self) -> None:
        """Remove the folders created for a run that never started, if they are empty."""
        with suppress(OSError):  # not empty: another process is using it by now
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
        """Record whose work a folder holds, for later cleanup."""
        (self.root / key / _ABOUT).write_text(json.dumps(dict(about)), encoding="utf-8")

    @staticmethod
    def about(folder: Path) -> dict[str, str]:
        """What was recorded about a folder; empty if nothing was, or if it cannot be read."""
        try:
            found = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def remove(self, key: str) -> None:
        """Delete a finished stage's work."""
        shutil.rmtree(self.root / key, ignore_errors=True)
        if self.copy is not None:
            self.copy.remove(key)

    def close(self) -> None:
        """The run has ended: complete the copy."""
        if self.copy is not None:
            self.copy.close()

    def give_back(self, key: str) -> None:
        """Delete a failed stage's work if there is nothing to resume from: no shard, no checkpoint, no model.

        Its log is deleted in any case: the store has it.
        """
        folder = self.root / key
        forget_log(folder)
        if not any(file.is_file() and file.name not in _NOTES for file in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)  # the copy stays: it may hold what this machine never had

    def share(self, folder: Path, name: str) -> Path:
        """Copy a file or folder to `inputs/`, where all machines see it; done once, completely or not at all."""
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
        """Delete the shared copies, unless a run is in progress here, as shown by a lock with this prefix."""
        inputs = self.root / _INPUTS
        if inputs.exists() and not any((self.root / LOCKS).glob(f"{prefix}*")):
            gone = inputs.rename(inputs.with_name(f"{_INPUTS}-{os.getpid()}"))  # atomic: the next run may begin now
            shutil.rmtree(gone, ignore_errors=True)

    def lock(self, key: str) -> FileLock | None:
        """Acquire the lock of a stage or of a plan; None while another process holds it."""
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
        """Keys whose holder died without releasing them."""
        for path in (self.root / LOCKS).glob(f"{prefix}*"):
            lock = self.lock(path.name)
            if lock is not None:
                yield path.name.removeprefix(prefix)
                self.release(lock)

    def release(self, lock: FileLock) -> None:
        """Release a lock and delete its file."""
        if self.names is not None:
            self.names.free(Path(lock.lock_file).name)
        self._let_go(lock)

    @staticmethod
    def _let_go(lock: FileLock) -> None:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def at_work(root: Path, key: str) -> bool:
    """Whether a process holds the lock of a stage or of a plan. Never creates a lock file."""
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
    """Bytes of all files below a folder; files that disappear meanwhile are not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def contents_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file in a folder; empty if there is no folder."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
