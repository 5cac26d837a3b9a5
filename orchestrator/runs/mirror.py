"""A copy of the work folder under a URL, on any file system that fsspec supports: it survives the loss of the machine.

- Files that a running stage has finished writing are copied there within seconds, by a separate thread.
- A stage whose local folder is empty starts from what an earlier run has left there: its shards, its checkpoints.
- A stage's copy is removed only when the stage is finished: a failure removes nothing. A stage that starts again
  meanwhile waits for the removal.
- A URL that stops responding blocks nothing. Missing files are sent when it responds again, and stay in the local
  folder in any case.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from uuid import uuid4

from orchestrator.errors import InputError, StageError
from orchestrator.runs.failure import one_line
from orchestrator.runs.sending import Sender, Stamp, files_of, stamp_of

_LOOK = 1.0
"""Seconds between two scans of what stages have written."""
_PATIENCE = 10.0
"""Seconds that a stage which starts again waits for the removal of its earlier copy."""


class Mirror:
    """The copy of a folder under a URL. `root` is the work folder on this machine."""

    def __init__(self, url: str, root: Path) -> None:
        """Raises InputError if the URL cannot be written."""
        self.url, self.root = url, root
        self.problem: str | None = None
        """Why the latest files are not there."""
        self._files, self._top = _file_system(url)
        self._left = self._found()
        """The stages for which earlier runs have left files there."""
        self._senders: dict[str, Sender] = {}
        self._gone: list[str] = []
        """The stages whose files are to be removed there."""
        self._removing: str | None = None
        """The stage whose files are being removed."""
        self._changed = Condition()
        """Held while any of these is changed."""
        self._hurry = self._ended = False
        self._thread = Thread(target=self._go_on, name="mirror", daemon=True)
        self._thread.start()

    def _found(self) -> set[str]:
        probe = f"{self._top}/orch-{uuid4().hex}.tmp"
        try:
            self._files.makedirs(self._top, exist_ok=True)
            self._files.pipe_file(probe, b"orch")
            self._files.rm_file(probe)
            return {str(name).rstrip("/").rpartition("/")[2] for name in self._files.ls(self._top, detail=False)}
        except Exception as error:  # anything that the file system's own library may raise
            raise InputError(
                f"storage: {self.url} cannot be written: {one_line(error)}; choose another location, or check its "
                "address and your credentials"
            ) from None

    def begin(self, key: str) -> None:
        """A stage is about to run: fetch its earlier copy, and start sending what it writes.

        Raises:
            StageError: the earlier copy cannot be fetched.
        """
        work = self.root / key
        known: dict[str, Stamp] = {}
        if self._cleared(key) and key in self._left:
            try:
                there = self._there(key)
                if not files_of(work):
                    self._fetch(key, list(there))
                known = {name: stamp for name, stamp in files_of(work).items() if there.get(name) == stamp[0]}
            except Exception as error:
                if not files_of(work):
                    raise StageError(
                        f"an earlier run's files in {self.url}/{key} cannot be fetched: {one_line(error)}; run the "
                        "same command again once they can be fetched, or remove that folder"
                    ) from None
        with self._changed:
            self._gone = [gone for gone in self._gone if gone != key]
            self._senders[key] = Sender(self, work, known)

    def remove(self, key: str) -> None:
        """A stage is finished, here or elsewhere: its copy is no longer needed."""
        with self._changed:
            if (self._senders.pop(key, None) is not None or key in self._left) and key not in self._gone:
                self._gone.append(key)

    def close(self) -> None:
        """The run has ended: send what is left."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        self._look(final=True)
        self._remove_gone()
        self._senders.clear()

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Upload a whole file, since most file systems cannot append. None: it is gone."""
        stamp, name = stamp_of(path), f"{self._top}/{path.relative_to(self.root).as_posix()}"
        if stamp is None:
            return None
        try:
            self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), name)
        except FileNotFoundError:
            if path.exists():
                raise
            return None
        return stamp

    def forget(self, name: str) -> None:
        """Remove a file there, by its path relative to the work folder."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._top}/{name}")

    def _cleared(self, key: str) -> bool:
        """Whether nothing of a stage is still to be removed there; if something is, the thread removes it at once.

        Only that thread removes and sends: nothing is sent to a folder that is being removed. If files cannot be
        removed in time, the stage does not start from them, and they are overwritten.
        """
        with self._changed:
            self._hurry = key in self._gone
            self._changed.notify_all()
            return self._changed.wait_for(lambda: key != self._removing and key not in self._gone, _PATIENCE)

    def _there(self, key: str) -> dict[str, int]:
        """The files of a stage's copy, with their sizes."""
        folder = f"{self._top}/{key}"
        try:
            found = self._files.find(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {name[len(folder) :].lstrip("/"): int(info["size"]) for name, info in found.items()}

    def _fetch(self, key: str, names: list[str]) -> None:
        """Fetch all files or none: a partial copy would look like a complete one."""
        with tempfile.TemporaryDirectory(prefix=f"{key}-", dir=self.root) as folder:
            for name in names:
                path = Path(folder, key, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(f"{self._top}/{key}/{name}", str(path))
            if names:
                shutil.rmtree(self.root / key)
                Path(folder, key).rename(self.root / key)

    def _go_on(self) -> None:
        while not self._waited():
            self._look()
            self._remove_gone()

    def _waited(self) -> bool:
        """Wait until the next scan is due; return whether the run has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._hurry or self._ended, _LOOK)
            self._hurry = False
            return self._ended

    def _look(self, final: bool = False) -> None:
        with self._changed:
            senders = list(self._senders.values())
        problem = None
        for sender in senders:
            try:
                sender.look(final)
            except Exception as error:
                problem = problem or f"storage: {self.url} does not accept new files: {one_line(error)}"
        self.problem = problem

    def _remove_gone(self) -> None:
        for _ in range(len(self._gone)):
            with self._changed:
                if not self._gone:
                    return
                self._removing = key = self._gone.pop(0)
            try:
                self._remove(key)
                failed = False
            except Exception:  # it is retried
                failed = True
            with self._changed:
                self._removing = None
                if failed and key not in self._senders:
                    self._gone.append(key)
                self._changed.notify_all()

    def _remove(self, key: str) -> None:
        if self._there(key):
            self._files.rm(f"{self._top}/{key}", recursive=True)
        self._left.discard(key)


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, top = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"storage: {url}: {error}, or name a folder") from None
    except ValueError as error:
        raise InputError(f"storage: {url}: {error}; name a folder, or a URL such as s3://bucket/work") from None
    return files, str(top).rstrip("/")
