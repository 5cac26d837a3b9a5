"""The driver's work folder, for workers on machines that do not see it.

Every machine has its own work folder at the same path. A worker fetches the inputs of its call, each input once per
machine, and sends its output to the driver's machine as it works.

- Sent files survive the loss of the worker's machine, and a retried call resumes from them on any machine.
- A file arrives complete or not at all, except for files that grow line by line. Files arrive in the order they were
  last written: the marker of a complete checkpoint comes after the checkpoint.
- A worker that sees the driver's folder fetches and sends nothing.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from orchestrator.errors import InputError
from orchestrator.runs.cluster import Cluster, on_this_machine
from orchestrator.runs.failure import one_line
from orchestrator.runs.sending import Stamp, files_of, kept_at_home, sent_one_by_one, stamp_of
from orchestrator.runs.work import CALL, GUEST, LOCKS, MIN_FREE, at_work
from orchestrator.runs.worker_log import FOLDER as LOGS
from orchestrator.stages.context import BEGUN

_PIECE = 16 * 1024 * 1024
"""Bytes per transfer."""
_DYING, _CLEARING = 5.0, 20.0
"""Seconds that other machines wait for calls that are being stopped, and that the driver waits for these machines."""


class Files:
    """The driver's folder, served through Ray: an actor on the driver's machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self, name: str) -> dict[str, Stamp]:
        """The files in a folder, least recently written first; for a file, only that one, under an empty name."""
        return files_of(self.root / name)

    def read(self, name: str, begin: int) -> bytes:
        """The bytes of a file from `begin` on, one piece; empty at its end."""
        with (self.root / name).open("rb") as file:
            file.seek(begin)
            return file.read(_PIECE)

    def append(self, name: str, begin: int, data: bytes) -> None:
        """Write to a file that grows, from byte `begin` on."""
        with (self.root / name).open("r+b") as file:
            file.truncate(begin)
            file.seek(begin)
            file.write(data)

    def write(self, name: str, begin: int, data: bytes, whole: Stamp | None) -> None:
        """Write a piece of a file; the file gets its name once it is `whole`.

        Raises:
            FileNotFoundError: the stage's folder is gone, so the file is no longer needed.
        """
        path = self.root / name
        if not (self.root / Path(name).parts[0]).is_dir():
            raise FileNotFoundError(f"the stage's work folder is gone: {path}")
        part = path.with_name(f"{path.name}.tmp-sent")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            file.write(data)
        if whole is not None:
            os.utime(part, ns=(whole[1], whole[1]))
            part.replace(path)

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if that is then empty."""
        path = self.root / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Home:
    """Access to the driver's work folder."""

    root: Path
    mark: str
    """The name of a marker file that exists only in that folder."""
    files: Any
    """The Ray handle of `Files`."""

    @property
    def is_seen(self) -> bool:
        """Whether this process sees the driver's folder."""
        return (self.root / LOCKS / self.mark).exists()

    def fetch(self, name: str) -> None:
        """Fetch an input, a file or folder below the work folder, unless this machine has it."""
        path = self.root / name
        with FileLock(self._lock(f"fetch-{path.name}")):
            if path.exists():
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f"{path.name}-", dir=path.parent))
            try:
                whole = temporary / path.name
                for file, stamp in self._listing(name).items():
                    self._copy(f"{name}/{file}" if file else name, whole / file if file else whole, stamp)
                whole.rename(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _lock(self, name: str) -> Path:
        locks = self.root / LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        return locks / name

    def listing(self, folder: Path) -> dict[str, Stamp]:
        """The files in the driver's counterpart of this folder."""
        return self._listing(folder.relative_to(self.root).as_posix())

    def _listing(self, name: str) -> dict[str, Stamp]:
        import ray

        return dict(ray.get(self.files.listing.remote(name)))

    def _copy(self, name: str, to: Path, stamp: Stamp) -> None:
        import ray

        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as file:
            while data := ray.get(self.files.read.remote(name, file.tell())):
                file.write(data)
        os.utime(to, ns=(stamp[1], stamp[1]))

    def restore(self, work: Path) -> dict[str, Stamp]:
        """Make a stage's folder on this machine match the driver's, without its logs."""
        name = work.relative_to(self.root).as_posix()
        wanted = {file: stamp for file, stamp in self.listing(work).items() if not file.startswith(f"{LOGS}/")}
        for file in files_of(work).keys() - wanted.keys():
            (work / file).unlink()
        for file, stamp in wanted.items():
            if stamp_of(work / file) != stamp:
                self._copy(f"{name}/{file}", work / file, stamp)
        return wanted

    def send(self, path: Path, begin: int = 0) -> Stamp | None:
        """Send a file of this machine's folder to the driver's; from `begin` on it is appended. None: it is gone."""
        import ray

        name = path.relative_to(self.root).as_posix()
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            written = os.fstat(file.fileno()).st_mtime_ns
            file.seek(begin)
            while True:
                at, data = file.tell(), file.read(_PIECE)
                whole = len(data) < _PIECE
                if begin:
                    ray.get(self.files.append.remote(name, at, data))
                else:
                    stamp = (at + len(data), written) if whole else None
                    ray.get(self.files.write.remote(name, at, data, stamp))
                if whole:
                    return at + len(data), written

    def forget(self, name: str) -> None:
        """Remove a file on the driver's machine."""
        import ray

        ray.get(self.files.remove.remote(name))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep this machine's folder from being cleared while a call runs here."""
        with _clearing(self.root):
            lock = FileLock(self._lock(f"{CALL}{os.getpid()}"))
            lock.acquire()
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that may run on a machine that does not see the driver's folder."""

    function: Callable[[Any], Any]
    argument: Any
    home: Home
    work: Path
    """The stage's work folder."""
    inputs: tuple[str, ...]
    """Its inputs: files and folders below the driver's folder."""
    leaves: tuple[Path, ...]
    """Its output files, if other calls write theirs to the same folder; empty: the work folder is its own."""


def sent(call: Sent) -> Any:
    """Run the call on a worker; fetch its inputs and send its output."""
    home = call.home
    if home.is_seen:
        return call.function(call.argument)
    with home.in_use():
        for name in call.inputs:
            home.fetch(name)
        call.work.mkdir(parents=True, exist_ok=True)
        if not call.leaves:
            with kept_at_home(home, call.work):
                return call.function(call.argument)
        (call.work / BEGUN).touch()
        home.send(call.work / BEGUN)
        try:
            with sent_one_by_one(home, call.work, call.leaves):
                return call.function(call.argument)
        finally:
            for log in (call.work / LOGS).glob(f"*-{os.getpid()}.log"):
                home.send(log)


# --- the driver's side


def open_home(root: Path, cluster: Cluster) -> Home | None:
    """Make the driver's work folder accessible to machines that do not see it; None if all of them do.

    Raises:
        InputError: a machine cannot run orch, or cannot have a work folder at that path.
    """
    if not cluster.joined:
        return None
    mark = root / LOCKS / f"home-{uuid4().hex}"
    mark.parent.mkdir(parents=True, exist_ok=True)  # a refused run may have removed it while it was empty
    mark.touch()
    home = None
    try:
        if any(not there for _, there in cluster.on_each_machine(os.path.exists, str(mark))):
            home = _open(root, cluster, mark.name)
        return home
    finally:
        if home is None:
            mark.unlink(missing_ok=True)


def _open(root: Path, cluster: Cluster, mark: str) -> Home:
    import ray

    try:
        rooms = cluster.on_each_machine(_no_room, (root, mark))
        refused = [f"{name}: {why}" for name, why in rooms if why]
    except ray.exceptions.RayError as error:
        raise InputError(
            f"orch cannot be used on a machine of the Ray cluster: {one_line(error)}; install this version there"
        ) from None
    if refused:
        raise InputError(
            f"storage: {root} cannot be the work folder on {'; '.join(dict.fromkeys(refused[:5]))}; name a folder "
            "that each machine of the Ray cluster can use, or one that all of them share: storage=FOLDER"
        )
    server = ray.remote(Files).options(
        num_cpus=0,
        max_concurrency=8,
        max_restarts=-1,
        max_task_retries=-1,  # its operations can be repeated
        scheduling_strategy=on_this_machine(),
    )
    return Home(root, mark, server.remote(root))


def _no_room(folder: tuple[Path, str]) -> str | None:
    """Why this machine cannot have a work folder there; None if it can, or sees the driver's, which has the mark."""
    root, mark = folder
    if (root / LOCKS / mark).exists():
        return None
    try:
        if root.is_dir() and any(root.iterdir()) and not (root / GUEST).exists():
            return "the folder already contains other files"
        root.mkdir(parents=True, exist_ok=True)
        (root / GUEST).touch()
        (root / LOCKS).mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=root / LOCKS):
            pass
    except OSError as error:
        return str(error.strerror or error)
    free = shutil.disk_usage(root).free
    return f"{free / 2**20:.0f} MB free, a run needs {MIN_FREE / 2**20:.0f} MB" if free < MIN_FREE else None


def close_home(home: Home, cluster: Cluster) -> None:
    """The run has ended: clear the other machines' folders, except where another run's call is in progress."""
    with suppress(Exception):  # a machine that is gone
        cluster.on_each_machine(_clear, home, timeout=_CLEARING)
    (home.root / LOCKS / home.mark).unlink(missing_ok=True)


def _clear(home: Home) -> None:
    root, end = home.root, time.monotonic() + _DYING
    while (root / GUEST).exists():  # otherwise the folder belongs to this machine
        with _clearing(root):
            if not any(at_work(root, lock.name) for lock in (root / LOCKS).glob(f"{CALL}*")):
                shutil.rmtree(root, ignore_errors=True)
                return
        if time.monotonic() > end:
            return
        time.sleep(0.2)


def _clearing(root: Path) -> FileLock:
    """The lock that is held on a machine while its folder is cleared, and while a call begins there."""
    return FileLock(Path(tempfile.gettempdir()) / f"orch-{sha256(str(root).encode()).hexdigest()[:16]}.lock")
