"""Where the artifacts of a run lie, and copies of those that lie behind a server or in an object store.

Knows the server only through the client that it asks for then, which lists and downloads.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from orchestrator.store.base import StoredRun

KEPT = 30 * 24 * 3600.0
"""Seconds after its last use that a run's copies are kept."""


class Artifacts:
    """The artifacts of all runs of one store; copies go to a folder."""

    def __init__(self, find: Callable[[str], StoredRun], client: Callable[[], Any], copies: Path) -> None:
        self._find, self._client, self.copies = find, client, copies.absolute()

    def path(self, run: str | StoredRun, name: str) -> Path:
        """Where an artifact lies, a file or a folder; nothing lies there where the run has no such artifact.

        What is asked for is copied once: a run may be written to again, but none of its artifacts, unless one says
        `forget`. `run` is an id, or the run where it is known already.
        """
        run_id = _id(run)
        copy = self.copies / run_id / name
        if copy.exists():
            os.utime(self.copies / run_id)  # it was used
            return copy
        run = self.known(run)
        local = _local(run.location)
        if local is not None:
            return local / name
        if self.sizes(run, name):
            self._forget()
            copy.parent.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.mkdtemp(prefix=f"{run_id}-", dir=self.copies)
            try:
                Path(self._client().download_artifacts(run_id, name, temporary)).rename(copy)
            except OSError:
                if not copy.exists():  # otherwise another process was faster
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return copy

    def keep(self, run_id: str, location: str, folder: Path, name: str) -> None:
        """Have what a run was just given of a folder as the copy of it, where the store is elsewhere.

        So it need not be fetched to be read. Without room for it, it is fetched.
        """
        copy, made = self.copies / run_id / name, folder / name
        if _local(location) is not None or copy.exists():
            return
        with suppress(OSError):
            self._forget()
            copy.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{run_id}-", dir=self.copies) as temporary:
                whole = Path(temporary) / made.name
                if made.is_dir():
                    shutil.copytree(made, whole, copy_function=_linked)
                else:
                    _linked(made, whole)
                whole.rename(copy)

    def known(self, run: str | StoredRun) -> StoredRun:
        """The run with an id."""
        return self._find(run) if isinstance(run, str) else run

    def local(self, run: StoredRun, name: str) -> Path | None:
        """Where an artifact lies in the store itself; None where that is not on this machine."""
        folder = _local(run.location)
        return None if folder is None else folder / name

    def is_copy(self, path: Path) -> bool:
        """Whether a path is that of a copy."""
        return path.is_relative_to(self.copies)

    def address(self, run_id: str, name: str) -> str | None:
        """Where a file among a run's artifacts is, without copying it: a path, or a URI; None where there is none."""
        run = self._find(run_id)
        local = _local(run.location)
        if not self.sizes(run, name):
            return None
        return f"{run.location}/{name}" if local is None else str(local / name)

    def forget(self, run: str | StoredRun, name: str) -> None:
        """Drop the copy of an artifact that may have been written again since."""
        copy = self.copies / _id(run) / name
        if copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink(missing_ok=True)

    def _forget(self) -> None:
        """Remove copies that nobody has used for long, and what was left of a copying that was killed."""
        old = time.time() - KEPT
        for folder in self.copies.iterdir() if self.copies.is_dir() else ():
            with suppress(FileNotFoundError):  # another process was faster
                if folder.stat().st_mtime < old:
                    shutil.rmtree(folder)

    def sizes(self, run: StoredRun, name: str) -> dict[str, int]:
        """Bytes of each file right in a folder, or of one file, which has a suffix; empty where there is none."""
        local = _local(run.location)
        if local is not None:
            found = local / name
            here = [p for p in (found.iterdir() if found.is_dir() else [found]) if p.is_file()]
            return {file.name: file.stat().st_size for file in here}
        wanted = PurePosixPath(name)
        folder = str(wanted.parent) if wanted.suffix else name
        listed = self._client().list_artifacts(run.run_id, None if folder == "." else folder)
        there = [e for e in listed if not e.is_dir and (e.path == name or not wanted.suffix)]
        return {PurePosixPath(e.path).name: e.file_size or 0 for e in there}


def _id(run: str | StoredRun) -> str:
    return run if isinstance(run, str) else run.run_id


def _linked(source: str | Path, target: str | Path) -> None:
    """The same file under a second name; a copy of it where the file system does not have that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _local(location: str) -> Path | None:
    """The folder of a run's artifacts; None where it is not on this machine."""
    parsed = urlparse(location)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None
