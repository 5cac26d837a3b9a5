"""The work folder under a URL as well, of any file system that fsspec knows: it survives the loss of the machine.

- What a running stage has written, and has stopped writing, is copied there within seconds, by a thread of its own.
- A stage whose folder here is empty begins with what an earlier run has left there: its shards, its checkpoints.
- What a stage left there is removed when the stage is finished, and not before: a failure removes nothing. A stage that
  begins again meanwhile waits for that.
- A URL that stops answering keeps nothing from going on. What it has not got is sent when it answers again, and stays
  in the folder here in any case.
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
"""Seconds between two looks at what stages have written."""
_PATIENCE = 10.0
"""Seconds that a stage which begins again waits until what it left there before is removed."""


class Mirror:
    """A folder's counterpart under a URL. `root` is the work folder on this machine."""

    def __init__(self, url: str, root: Path) -> None:
        """Raises InputError where the URL cannot be written."""
        self.url, self.root = url, root
        self.problem: str | None = None
        """Why what was written last is not there."""
        self._files, self._top = _file_system(url)
        self._left = self._found()
        """The stages of which earlier runs have left something there."""
        self._senders: dict[str, Sender] = {}
        self._gone: list[str] = []
        """The stages whose files are to be removed there."""
        self._removing: str | None = None
        """The stage whose files are being removed."""
        self._changed = Condition()
        """Held while one of these is changed."""
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
        except Exception as error:  # whatever the file system's own library raises
            raise InputError(
                f"storage: {self.url} cannot be written: {one_line(error)}; name another place, or check its "
                "address and your credentials"
            ) from None

    def begin(self, key: str) -> None:
        """A stage is about to run: it has what was left there of it, and what it writes is sent.

        Raises:
            StageError: what was left there cannot be fetched.
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
                        f"what an earlier run left in {self.url}/{key} cannot be fetched: {one_line(error)}; give the "
                        "same command once it can, or remove that folder"
                    ) from None
        with self._changed:
            self._senders[key] = Sender(self, work, known)

    def remove(self, key: str) -> None:
        """A stage is finished, here or elsewhere: what it left is not needed any more."""
        with self._changed:
            if self._senders.pop(key, None) is not None or key in self._left:
                self._gone.append(key)

    def close(self) -> None:
        """Send what is left; the run has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        self._look(final=True)
        self._remove_gone()
        self._senders.clear()

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Put a file there, all of it: most places cannot append. None: it is gone."""
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
        """Remove a file there, by its path from the work folder."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._top}/{name}")

    def _cleared(self, key: str) -> bool:
        """Whether nothing of a stage is still to be removed there; where something is, the thread does it at once.

        It alone removes and sends: nothing is sent to a folder that is being removed. What cannot be removed in time is
        not what the stage begins with, and is written over.
        """
        with self._changed:
            self._hurry = key in self._gone
            self._changed.notify_all()
            cleared = self._changed.wait_for(lambda: key != self._removing and key not in self._gone, _PATIENCE)
            if key in self._gone:
                self._gone.remove(key)
        return cleared

    def _there(self, key: str) -> dict[str, int]:
        """The files of a stage there, with their sizes."""
        folder = f"{self._top}/{key}"
        try:
            found = self._files.find(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {name[len(folder) :].lstrip("/"): int(info["size"]) for name, info in found.items()}

    def _fetch(self, key: str, names: list[str]) -> None:
        """All of it or nothing: half of it would look like all of it."""
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
        """Wait for the next look; whether there is none."""
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
                problem = problem or f"storage: {self.url} does not take what is written: {one_line(error)}"
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
            except Exception:  # it is tried again
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
