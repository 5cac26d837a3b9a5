"""The output of workers while a stage runs: stdout, stderr, logging, warnings and tracebacks, in its work folder.

Each worker has a file there. A file, not a pipe: it outlives a worker that is killed, includes the output of native
code, and can be read while it grows. Only the last part is kept, of each file and of all of a stage's files together.
Nothing here ever fails a job: if no file can be written, none is.
"""

import logging
import os
import platform
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from orchestrator.errors import OrchError
from orchestrator.stages.context import BEGUN

FOLDER = "logs"
"""Below a stage's work folder."""
KEPT = 1_000_000
"""Bytes of a stage's log; the latest output is kept."""
_CUT = "[earlier output is not kept]\n"
_LOOK = 1.0
"""Seconds between two checks of a file's size."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A call whose output is kept; `title` is its name in the log."""

    function: Callable[[Any], Any]
    argument: Any
    work: Path
    """The stage's work folder."""
    title: str


def logged(call: Logged) -> Any:
    """Run the call on a worker, and log its start, its end and any traceback.

    A file in the work folder marks that a call has begun: until then the stage is waiting for a core or a GPU.
    """
    with suppress(OSError):  # a full disk: the job itself reports it
        (call.work / BEGUN).touch()
    with _kept(call.work / FOLDER):
        log = logging.getLogger("orch")
        log.info("%s: started (%s, process %d)", call.title, platform.node(), os.getpid())
        began = time.monotonic()
        try:
            result = call.function(call.argument)
        except Exception as error:
            foreseen = isinstance(error, OrchError) and error.__cause__ is None
            log.error("%s: failed%s", call.title, f": {error}" if foreseen else "")
            if not foreseen:
                traceback.print_exc()
            raise
        log.info("%s: done after %.1f s", call.title, time.monotonic() - began)
        return result


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Redirect stdout and stderr of this process and its child processes to a separate file in a folder."""
    try:
        folder.mkdir(exist_ok=True)
        path = folder / f"{platform.node()}-{os.getpid()}.log"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk, a folder that is gone: the job itself reports it, if it matters
        yield
        return
    before = [os.dup(1), os.dup(2)]
    ended = Event()
    bound = Thread(target=_keep_small, args=(path, ended), name="log size", daemon=True)
    bound.start()
    try:
        _send(file, file)
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # hidden on screen, but kept in the log
            os.environ["TRANSFORMERS_VERBOSITY"] = "warning"
            form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
            logging.basicConfig(level=logging.INFO, format=form, datefmt="%H:%M:%S")
            yield
    finally:
        _send(*before)
        ended.set()
        bound.join()
        for number in (file, *before):
            os.close(number)


def _send(out: int, err: int) -> None:
    """Redirect stdout and stderr to these file descriptors."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a full disk; a stream that the job has closed
            stream.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)


def _keep_small(path: Path, ended: Event) -> None:
    while not ended.wait(_LOOK):
        with suppress(OSError):
            _shorten(path)
    with suppress(OSError):
        _shorten(path)


def _shorten(path: Path) -> None:
    """Keep the last part of a file that others are still appending to."""
    if path.stat().st_size > 2 * KEPT:
        last = _end_of(path, KEPT)
        os.truncate(path, 0)
        with path.open("ab") as file:
            file.write(last)


def _end_of(path: Path, size: int) -> bytes:
    """The last bytes of a file, from the start of a line; if anything is left out, a notice comes first."""
    with path.open("rb") as file:
        there = file.seek(0, os.SEEK_END)
        file.seek(max(0, there - size))
        data = file.read(size)
    if there <= size:
        return data
    _, found, rest = data.partition(b"\n")
    return _CUT.encode() + (rest if found else data)


def read_log(work: Path) -> str:
    """The output of a stage's workers so far, the worker that wrote last at the end; empty if there is none."""
    parts: list[bytes] = []
    left = KEPT
    with suppress(OSError):  # the stage has ended meanwhile
        files = sorted((work / FOLDER).glob("*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files:
            if left <= 0:
                parts.append(_CUT.encode())
                break
            parts.append(_end_of(file, left))
            left -= len(parts[-1])
    text = b"".join(reversed(parts)).decode("utf-8", "replace").replace("\r\n", "\n")
    # of a progress bar, only what was on screen last
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def forget_log(work: Path) -> None:
    """Delete the log: it is in the store, and the next attempt starts with an empty one."""
    shutil.rmtree(work / FOLDER, ignore_errors=True)
