"""What a call writes into its stage's folder, sent to another place while it works: to the driver's machine, to a URL.

Files are sent whole, in the order in which they were last written, but for those that grow line by line.
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
"""Seconds between two looks at what a call has written."""
_SETTLED = 2.0
"""Seconds after which a file that is not written any more is taken to be whole, while its call goes on."""

Stamp = tuple[int, int]
"""A file's size in bytes, and when it was last written: nanoseconds since the epoch."""


class Place(Protocol):
    """Where files are sent."""

    @property
    def root(self) -> Path:
        """The work folder on this machine that the place corresponds to."""
        ...

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Have a file of this machine's folder there; what lies before `begin` was sent before. None: it is gone."""
        ...

    def forget(self, name: str) -> None:
        """Remove a file there, by its path from the root."""
        ...


class Kept(Place, Protocol):
    """A place that has what was sent earlier."""

    def listing(self, folder: Path) -> dict[str, Stamp]:
        """The files there of the folder that has the place of this one."""
        ...

    def restore(self, work: Path) -> dict[str, Stamp]:
        """Have a stage's folder on this machine as it is there."""
        ...


@contextmanager
def sent_one_by_one(home: Kept, work: Path, leaves: Sequence[Path]) -> Iterator[None]:
    """Each of these files is sent as soon as it is there, and removed here; what is sent already is not made again.

    Raises:
        StageError: one that was made is gone, and was not sent.
    """
    missing = set(leaves)
    for path in leaves:
        if path.exists() and not path.stat().st_size:  # it said that the file was sent, to a worker that was killed
            path.unlink()
    there = home.listing(work)
    for path in [path for path in leaves if path.name in there]:
        path.touch()  # whoever makes them finds it there
        missing.remove(path)
    known = set(leaves) - missing

    def send() -> None:
        for path in [path for path in missing if path.exists()]:
            if home.send(path) is not None:
                missing.remove(path)
                path.unlink()

    def go_on() -> None:
        while not ended.wait(_LOOK):
            with suppress(Exception):  # what cannot be sent now is sent when the call is made
                send()

    ended = Event()
    thread = Thread(target=go_on, name="sender", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join()
        with suppress(Exception):  # it is not why the call fails
            send()
        raise
    else:
        ended.set()
        thread.join()
        send()
        if missing:
            raise StageError(f"{min(missing).name} is gone from this machine before it was sent")
    finally:
        for path in known:
            path.unlink(missing_ok=True)


@contextmanager
def kept_at_home(home: Kept, work: Path) -> Iterator[None]:
    """A stage's folder on this machine, begun as it is on the driver's; what is written meanwhile is sent there."""
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
    """Sends what has changed in a stage's folder since the last look. `known`: the files that are the same there."""

    def __init__(self, home: Place, work: Path, known: Mapping[str, Stamp]) -> None:
        self.home, self.work, self.known = home, work, dict(known)
        self._grown = {name: ((work / name).stat().st_ino, size) for name, (size, _) in known.items() if _grows(name)}
        """Of files that grow: the inode, and the bytes that were sent."""

    def go_on(self, ended: Event) -> None:
        """Look again and again; what cannot be sent now is sent when the call is made."""
        while not ended.wait(_LOOK):
            with suppress(Exception):
                self.look()

    def look(self, final: bool = False) -> None:
        """Send what is new; while the call goes on, what is still being written is left for later."""
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
    """Whether a file of a stage's folder is written line by line."""
    return name == JOURNAL or name.startswith(f"{LOGS}/")


def files_of(path: Path) -> dict[str, Stamp]:
    """The files below a folder by name, the one that was written first in front; temporary ones are left out."""
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
