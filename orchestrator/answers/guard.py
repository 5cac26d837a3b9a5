"""A guard: it judges in a process that can be killed, so that one bad completion costs only its own verdict.

A judgment that never ends becomes `timeout`; one that raises, requests too much memory, crashes or ends its process
becomes `error`, and the verdict gives the reason, with the line of the user's code. Whatever that code prints is
discarded. The process is spawned (never forked: its parent has threads and perhaps a GPU), and it does not outlive its
parent. The guard must not know what is judged.
"""

import contextlib
import io
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle
from pebble import ProcessExpired, ProcessPool

from orchestrator.answers.blame import blamed, here
from orchestrator.answers.limits import JudgeLimits
from orchestrator.errors import StageError
from orchestrator.types import Verdict

_START_S = 300.0
"""Seconds that a process may take to start; generous, for busy machines."""
_GRACE_S = 5.0
"""Seconds after the timeout that the parent has to kill the process before the process ends itself."""

Function = Callable[..., Verdict]


class Guard:
    """Runs `function` in a separate process, started on first use and kept until `close`."""

    def __init__(self, function: Function, prepare: Callable[[], None], limits: JudgeLimits) -> None:
        # Pickled by value if the child could not import it: a class from a user's own file or a notebook.
        self._code = cloudpickle.dumps((function, prepare))
        self._limits = limits
        self._pool: ProcessPool | None = None
        self._turn = threading.Lock()

    def judge(self, items: Sequence[tuple[Any, ...]]) -> list[Verdict]:
        """Call `function(*item)` for each item, one at a time, in order. Raises StageError if no process starts."""
        with self._turn:
            return [self._one(item) for item in items]

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._drop()

    def _one(self, item: tuple[Any, ...]) -> Verdict:
        for _ in range(2):
            future = self._started().schedule(_call, args=item, timeout=self._limits.timeout_s)
            try:
                verdict: Verdict = future.result()
                return verdict
            except TimeoutError:
                return Verdict("timeout", why=self._slow())
            except ProcessExpired as error:
                if error.exitcode == -signal.SIGALRM:
                    return Verdict("timeout", why=self._slow())
                return Verdict("error", why=f"it ended its process ({_ending(error.exitcode)})")
            except BrokenProcessPool:  # it died between two items, or too fast to tell on which
                self._drop()
        return Verdict("error", why="it ended its process, twice")

    def _slow(self) -> str:
        return f"it took longer than {self._limits.timeout_s:g} s"

    def _started(self) -> ProcessPool:
        if self._pool is None:
            self._pool = ProcessPool(
                max_workers=1,
                initializer=_begin,
                initargs=(self._code, self._limits.timeout_s, self._limits.memory_mb),
                context=_Context(),
            )
            try:
                self._pool.schedule(_ready).result(timeout=_START_S)
            except (BrokenProcessPool, TimeoutError, OSError) as error:
                self._drop()
                raise StageError(
                    f"the process that judges completions does not start: {type(error).__name__}: {error}; "
                    "see its output above"
                ) from error
        return self._pool

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None


def _ending(exit_code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


# --- starting the process


class _Process(SpawnProcess):
    """A spawned process that does not run the parent's main module again.

    That may be a script without `if __name__ == "__main__"`, which would rerun the whole experiment, or Ray's worker.
    """

    def start(self) -> None:
        with _main_hidden():
            super().start()


class _Context(SpawnContext):
    Process = _Process


_hiding = threading.Lock()


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """While a process starts, hide where `__main__` could be loaded from."""
    main = sys.modules["__main__"]
    with _hiding:
        spec, file = main.__spec__, main.__dict__.pop("__file__", None)
        main.__spec__ = None
        try:
            yield
        finally:
            main.__spec__ = spec
            if file is not None:
                main.__file__ = file


# --- inside the process

_function: Function | None = None
_alarm_s = 0.0
_leave = os._exit
_judging_in: int | None = None
"""The thread that is judging an item."""


class _LeftError(BaseException):
    """The code called os._exit, which would end the process; here it ends only the item."""


def _left(status: int) -> NoReturn:
    if threading.get_ident() == _judging_in:
        raise _LeftError(f"os._exit({status})")
    # Pebble overlooks a process that ends with exit code 0 and would wait for it until the timeout.
    _leave(status or 1)


class _Swallowed(io.TextIOBase):
    """Discards printed text, but remembers what was printed first and by which line."""

    first: str | None = None

    def write(self, text: str) -> int:
        if self.first is None and text.strip():
            self.first = f"it prints {' '.join(text.split())[:60]!r} ({here()})"
        return len(text)


def _begin(code: bytes, timeout_s: float, memory_mb: int) -> None:
    """Load the function and set the limits, before the first item arrives."""
    global _function, _alarm_s
    # End at once: a Python handler would wait for the computation that it is meant to end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os._exit = _left
    os.dup2(2, 1)  # output that bypasses Python must not mix with a command's own
    sys.stdout = _Swallowed()
    _function, prepare = pickle.loads(code)
    prepare()
    _alarm_s = timeout_s + _GRACE_S
    _limit_memory(memory_mb)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _leave(1)


def _limit_memory(megabytes: int) -> None:
    """Limit further growth of the address space. Only Linux reports its size; elsewhere there is no limit."""
    size = Path("/proc/self/statm")
    if size.exists():
        held = int(size.read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = held + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _ready() -> None:
    """Do nothing: its return shows that the process has started."""


def _call(*item: Any) -> Verdict:
    """Judge one item. Every exception is caught here: it might not survive the way back to the parent."""
    global _judging_in
    assert _function is not None
    printed = sys.stdout = _Swallowed()
    # If the parent is gone, nothing else would end a computation that never lets another thread run.
    signal.setitimer(signal.ITIMER_REAL, _alarm_s)
    try:
        _judging_in = threading.get_ident()
        verdict = _function(*item)
        if not _is_sound(verdict):
            return Verdict(
                "error", why=f"it returns {repr(verdict)[:60]}, not a Verdict with a status and a text value"
            )
        return Verdict(verdict.status, verdict.value, printed.first, verdict.score)
    except BaseException as error:
        return Verdict("error", why=blamed(error))
    finally:
        _judging_in = None
        signal.setitimer(signal.ITIMER_REAL, 0)


def _is_sound(verdict: Any) -> bool:
    """Whether a verdict is well-formed: it comes from a user's own code."""
    return type(verdict) is Verdict and type(verdict.status) is str and type(verdict.value) in (str, type(None))
