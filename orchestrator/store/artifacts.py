"""Where the artifacts of a run are, and copies of those that are behind a server or in an object store.

Knows the server only through a client, requested when needed, which lists and downloads.
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
"""Seconds that a run's copies are kept after their last use."""


class Artifacts:
    """The artifacts of all runs of one store; copies go into a folder."""

    def __init__(self, find: Callable[[str], StoredRun], client: Callable[[], Any], copies: Path) -> None:
        self._find, self._client, self.copies = find, client, copies.absolute()

    def path(self, run: str | StoredRun, name: str) -> Path:
        """The path of an artifact, a file or a folder; nothing exists there if the run has no such artifact.

        A requested artifact is copied only once, since artifacts are not rewritten even if their run is written to
        again; otherwise call `forget`. `run` is an id, or the run if it is already known.
        """
        run_id = _id(run)
        copy = self.copies / run_id / name
        if copy.exists():
            os.utime(self.copies / run_id)  # mark it as used
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
        """Keep what was just logged from a folder as the local copy of that artifact, if the store is remote.

        So it need not be fetched to be read. If there is no space for the copy, it is fetched after all.
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
        """The run itself, looked up if given by its id."""
        return self._find(run) if isinstance(run, str) else run

    def local(self, run: StoredRun, name: str) -> Path | None:
        """The path of an artifact in the store itself; None if the store is not on this machine."""
        folder = _local(run.location)
        return None if folder is None else folder / name

    def is_copy(self, path: Path) -> bool:
        """Whether a path belongs to a copy."""
        return path.is_relative_to(self.copies)

    def address(self, run_id: str, name: str) -> str | None:
        """The location of a file among a run's artifacts, without copying it: a path or URI; None if there is none."""
        run = self._find(run_id)
        local = _local(run.location)
        if not self.sizes(run, name):
            return None
        return f"{run.location}/{name}" if local is None else str(local / name)

    def forget(self, run: str | StoredRun, name: str) -> None:
        """Drop the copy of an artifact that may have been rewritten since."""
        copy = self.copies / _id(run) / name
        if copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink(missing_ok=True)

    def _forget(self) -> None:
        """Remove copies that have not been used for a long time, and leftovers of killed downloads."""
        old = time.time() - KEPT
        for folder in self.copies.iterdir() if self.copies.is_dir() else ():
            with suppress(FileNotFoundError):  # another process was faster
                if folder.stat().st_mtime < old:
                    shutil.rmtree(folder)

    def sizes(self, run: StoredRun, name: str) -> dict[str, int]:
        """Bytes of each file directly in a folder, or of one file, which has a suffix; empty if there is none."""
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
    """Hard-link a file, or copy it if the file system does not support that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _local(location: str) -> Path | None:
    """The folder of a run's artifacts; None if it is not on this machine."""
    parsed = urlparse(location)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None
