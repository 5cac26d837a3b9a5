"""The work folder under a URL as well, of any file system that fsspec knows: it survives the loss of the machine.

- What a running stage has written, and has stopped writing, is copied there within seconds, by a thread of its own.
- A stage whose folder here is empty begins with what is there: its shards, its checkpoints.
- What a stage left is removed there when it is removed here.
- A URL that stops answering keeps nothing from going on: what it has not got is sent when it answers again.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

from orchestrator.errors import InputError, StageError
from orchestrator.runs.failure import one_line
from orchestrator.runs.sending import Sender, Stamp, files_of, stamp_of

_LOOK = 1.0
"""Seconds between two looks at what stages have written."""


class Mirror:
    """A folder's counterpart under a URL. `root` is the work folder on this machine."""

    def __init__(self, url: str, root: Path) -> None:
        """Raises InputError where the URL cannot be written."""
        self.url, self.root = url, root
        self.problem: str | None = None
        """Why what was written last is not there."""
        self._files, self._top = _file_system(url)
        self._try_writing()
        self._senders: dict[str, Sender] = {}
        self._gone: list[str] = []
        """The stages whose files are to be removed there."""
        self._lock, self._ended = Lock(), Event()
        self._thread = Thread(target=self._go_on, name="mirror", daemon=True)
        self._thread.start()

    def _try_writing(self) -> None:
        probe = f"{self._top}/orch-{uuid4().hex}.tmp"
        try:
            self._files.makedirs(self._top, exist_ok=True)
            self._files.pipe_file(probe, b"orch")
            self._files.rm_file(probe)
        except Exception as error:  # whatever the file system's own library raises
            raise InputError(
                f"storage: {self.url} cannot be written: {one_line(error)}; name another place, or check its "
                "address and your credentials"
            ) from None

    def begin(self, key: str) -> None:
        """A stage is about to run: it has what is there of it, and what it writes is sent.

        Raises:
            StageError: what is there cannot be fetched.
        """
        work = self.root / key
        if not files_of(work):
            try:
                self._fetch(key)
            except Exception as error:
                shutil.rmtree(work, ignore_errors=True)  # half of it would look like all of it
                work.mkdir()
                raise StageError(
                    f"what an earlier run left in {self.url}/{key} cannot be fetched: {one_line(error)}; give the same "
                    "command once it can, or remove that folder"
                ) from None
        there = self._there(key)
        known = {name: stamp for name, stamp in files_of(work).items() if there.get(name) == stamp[0]}
        with self._lock:
            self._senders[key] = Sender(self, work, known)

    def remove(self, key: str) -> None:
        """What a stage left is not needed any more."""
        with self._lock:
            self._senders.pop(key, None)
            self._gone.append(key)

    def close(self) -> None:
        """Send what is left; the run has ended."""
        self._ended.set()
        self._thread.join()
        for sender in self._senders.values():
            self._look(sender)
        self._remove_gone()

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Put a file there, all of it: most places cannot append. None: it is gone."""
        stamp, name = stamp_of(path), f"{self._top}/{path.relative_to(self.root).as_posix()}"
        if stamp is None:
            return None
        self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(path), name)
        return stamp

    def forget(self, name: str) -> None:
        """Remove a file there, by its path from the work folder."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._top}/{name}")

    def _there(self, key: str) -> dict[str, int]:
        """The files of a stage there, with their sizes."""
        folder = f"{self._top}/{key}"
        try:
            found = self._files.find(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {name[len(folder) :].lstrip("/"): int(info["size"]) for name, info in found.items()}

    def _fetch(self, key: str) -> None:
        for name in self._there(key):
            path = self.root / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                self._files.get_file(f"{self._top}/{key}/{name}", f"{folder}/file")
                Path(folder, "file").replace(path)

    def _go_on(self) -> None:
        while not self._ended.wait(_LOOK):
            with self._lock:
                senders = list(self._senders.values())
            for sender in senders:
                self._look(sender)
            self._remove_gone()

    def _look(self, sender: Sender) -> None:
        try:
            sender.look()
            self.problem = None
        except Exception as error:
            self.problem = f"storage: {self.url} does not take what is written: {one_line(error)}"

    def _remove_gone(self) -> None:
        with self._lock:
            gone, self._gone = self._gone, []
        for key in gone:
            try:
                if self._there(key):
                    self._files.rm(f"{self._top}/{key}", recursive=True)
            except Exception:  # it is tried again
                with self._lock:
                    self._gone.append(key)


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, top = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"storage: {url}: {one_line(error)}, or name a folder") from None
    except ValueError as error:
        raise InputError(
            f"storage: {url}: {one_line(error)}; name a folder, or a URL such as s3://bucket/work"
        ) from None
    return files, str(top).rstrip("/")
