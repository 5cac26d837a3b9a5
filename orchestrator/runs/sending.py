"""Send a stage's files to another place while a call is writing them: to the driver's machine, or to a URL.

Files are sent whole, in the order they were last written, except for those that grow line by line.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from orchestrator.errors import StageError
from orchestrator.runs.worker_log import FOLDER as LOGS
from orchestrator.training.journal import NAME as JOURNAL

_LOOK = 0.5
"""Seconds between two scans of what a call has written."""
_SETTLED = 2.0
"""Seconds without a write after which a file is considered complete, while its call is running."""

Stamp = tuple[int, int]
"""A file's size in bytes, and when it was last written: nanoseconds since the epoch."""


class Place(Protocol):
    """A place that files are sent to."""

    @property
    def root(self) -> Path:
        """The work folder on this machine that the place corresponds to."""
        ...

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Send a file of this machine's folder; the part before `begin` was sent earlier. None: it is gone."""
        ...

    def forget(self, name: str) -> None:
        """Remove a file there, by its path relative to the root."""
        ...


class Kept(Place, Protocol):
    """A place from which files that were sent earlier can be restored."""

    def listing(self, folder: Path) -> dict[str, Stamp]:
        """The files in the counterpart of this folder there."""
        ...

    def restore(self, work: Path) -> dict[str, Stamp]:
        """Make a stage's folder on this machine match the one there."""
        ...


@contextmanager
def sent_one_by_one(home: Kept, work: Path, leaves: Sequence[Path]) -> Iterator[None]:
    """Send each of these files as soon as it exists, and remove it here; those sent already are not written again.

    Raises:
        StageError: a file is gone and was not sent.
    """
    missing = set(leaves)
    for path in leaves:
        if path.exists() and not path.stat().st_size:  # a killed worker's placeholder for a file that was sent
            path.unlink()
    there = home.listing(work)
    for path in [path for path in leaves if path.name in there]:
        path.touch()  # a placeholder: the call does not write this file again
        missing.remove(path)
    known = set(leaves) - missing

    def send() -> None:
        for path in [path for path in missing if path.exists()]:
            if home.send(path) is not None:
                missing.remove(path)
                path.unlink()

    def go_on() -> None:
        while not ended.wait(_LOOK):
            with suppress(Exception):  # what cannot be sent now is sent when the call is done
                send()

    ended = Event()
    thread = Thread(target=go_on, name="sender", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join()
        with suppress(Exception):  # an error here is not why the call fails
            send()
        raise
    else:
        ended.set()
        thread.join()
        send()
        if missing:
            raise StageError(f"{min(missing).name} disappeared from this machine before it was sent")
    finally:
        for path in known:
            path.unlink(missing_ok=True)


@contextmanager
def kept_at_home(home: Kept, work: Path) -> Iterator[None]:
    """Start a stage's folder on this machine as a copy of the driver's; send what is written meanwhile back to it."""
    sender = Sender(home, work, home.restore(work))
    ended = Event()
    thread = Thread(target=sender.go_on, args=(ended,), name="sender", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        try:
            sender.look(final=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)


class Sender:
    """Sends what has changed in a stage's folder since the last scan. `known`: the files that are the same there."""

    def __init__(self, home: Place, work: Path, known: Mapping[str, Stamp]) -> None:
        self.home, self.work, self.known = home, work, dict(known)
        self._grown = {name: ((work / name).stat().st_ino, size) for name, (size, _) in known.items() if _grows(name)}
        """For each file that grows: its inode, and the number of bytes sent."""

    def go_on(self, ended: Event) -> None:
        """Scan again and again; what cannot be sent now is sent when the call is done."""
        while not ended.wait(_LOOK):
            with suppress(Exception):
                self.look()

    def look(self, final: bool = False) -> None:
        """Send what is new; unless `final`, files that are still being written are left for later."""
        there = files_of(self.work)
        for name, stamp in there.items():
            if _grows(name):
                self._send_growth(name)
            elif self.known.get(name) != stamp and (
                final or stamp[0] == 0 or time.time_ns() - stamp[1] > _SETTLED * 1e9
            ):
                sent_as = self.home.send(self.work / name)
                if sent_as is not None:
                    self.known[name] = sent_as
        for name in self.known.keys() - there.keys():
            self.home.forget((self.work / name).relative_to(self.home.root).as_posix())
            del self.known[name]

    def _send_growth(self, name: str) -> None:
        path = self.work / name
        with suppress(FileNotFoundError):
            state = path.stat()
            inode, begin = self._grown.get(name, (0, 0))
            if inode != state.st_ino or begin > state.st_size:
                begin = 0
            elif begin == state.st_size:
                return
            if (stamp := self.home.send(path, begin)) is not None:
                self._grown[name] = (state.st_ino, stamp[0])


def _grows(name: str) -> bool:
    """Whether a file in a stage's folder is written line by line."""
    return name == JOURNAL or name.startswith(f"{LOGS}/")


def files_of(path: Path) -> dict[str, Stamp]:
    """The files below a folder by name, least recently written first; temporary ones are left out."""
    if path.is_file():
        stamp = stamp_of(path)
        return {} if stamp is None else {"": stamp}
    files = [file for file in path.rglob("*") if ".tmp" not in file.name and not file.is_dir()]
    found = {file.relative_to(path).as_posix(): stamp for file in files if (stamp := stamp_of(file)) is not None}
    return dict(sorted(found.items(), key=lambda item: (item[1][1], item[0])))


def stamp_of(path: Path) -> Stamp | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns
