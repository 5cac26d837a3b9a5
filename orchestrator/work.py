"""The folder for work in progress, and who is at work in it.

`work/<key>` holds a stage's shards or checkpoints until the stage is finished. A lock per stage keeps two runs from
making the same thing twice; the operating system lets go of it when its holder dies, however it dies.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.errors import InputError

_INPUTS = "inputs"
_NOTES = ("journal.jsonl", "journal.tmp")
"""What jobs tell of their progress; no work is in it."""
MIN_FREE = 256 * 1024 * 1024
"""Bytes that must be free before a run starts: a run that fills the disk loses what it was writing."""


class WorkFolder:
    """Where stages work."""

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        there = next(p for p in (root, *root.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE:
            raise InputError(
                f"storage: {root} has {free / 2**20:.0f} MB free, a run needs {MIN_FREE / 2**20:.0f} MB at least; "
                "make room, or name another folder with storage=FOLDER"
            )
        locks = root / "locks"
        self._made = [p for p in (locks, *locks.parents) if not p.exists()]
        """The folders that were not there before, the innermost first."""
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=locks):  # a folder that is there may still be read-only
                pass
        except OSError as error:
            raise InputError(f"storage: {root} cannot be written: {error.strerror}; name another folder") from None
        self.root = root

    def withdraw(self) -> None:
        """Leave no empty folder behind, where nothing came of a run."""
        with suppress(OSError):  # not empty: somebody else works here by now
            for folder in self._made:
                folder.rmdir()

    def folder(self, key: str) -> Path:
        """A stage's own folder."""
        path = self.root / key
        path.mkdir(exist_ok=True)
        return path

    def remove(self, key: str) -> None:
        """Forget a finished stage's work."""
        shutil.rmtree(self.root / key, ignore_errors=True)

    def give_back(self, key: str) -> None:
        """Forget a failed stage's work where there is nothing to go on from: no shard, no checkpoint, no model."""
        folder = self.root / key
        if not any(file.is_file() and file.name not in _NOTES for file in folder.rglob("*")):
            self.remove(key)

    def share(self, folder: Path, name: str) -> Path:
        """A copy of a folder where all machines see it, under `inputs/<name>`; made once, whole or not at all."""
        shared = self.root / _INPUTS / name
        if not shared.exists():
            shared.parent.mkdir(exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=shared.parent))
            try:
                shutil.copytree(folder, temporary / folder.name).rename(shared)
            except OSError:
                if not shared.exists():  # otherwise another run was faster
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return shared

    def forget_inputs(self, prefix: str) -> None:
        """Remove what was shared, unless a run is at work here: one that holds a lock with this prefix."""
        inputs = self.root / _INPUTS
        if inputs.exists() and not any((self.root / "locks").glob(f"{prefix}*")):
            gone = inputs.rename(inputs.with_name(f"{_INPUTS}-{os.getpid()}"))  # at once: the next run may begin now
            shutil.rmtree(gone, ignore_errors=True)

    def lock(self, key: str) -> FileLock | None:
        """The lock of a stage or of a plan, held; None while another process holds it."""
        lock = FileLock(self.root / "locks" / key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def abandoned(self, prefix: str) -> Iterator[str]:
        """Keys whose holder is gone without releasing them."""
        for path in (self.root / "locks").glob(f"{prefix}*"):
            lock = self.lock(path.name)
            if lock is not None:
                yield path.name.removeprefix(prefix)
                self.release(lock)

    def release(self, lock: FileLock) -> None:
        """Let go of a lock and leave nothing behind."""
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
