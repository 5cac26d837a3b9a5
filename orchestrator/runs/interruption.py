"""Runs that end early: Ctrl-C, SIGTERM, a store that is gone. Finished stages are kept.

The runs that the process has left open are closed, its workers are stopped, its lock is released.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from orchestrator.errors import Interrupted, TrackingError
from orchestrator.runs.failure import one_line
from orchestrator.runs.scheduler import Walk
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.client import Patience

_PROCESS = "run-"
_RESUME = "finished stages are kept; run the same command to resume"


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM end a run as Ctrl-C does; either is reported as one error."""
    before = signal.getsignal(signal.SIGTERM)
    heed_sigterm()
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {_RESUME}") from None
    finally:
        if _in_main():
            signal.signal(signal.SIGTERM, before)


def heed_sigterm() -> None:
    """Make SIGTERM raise KeyboardInterrupt: Ray installs its own handler, which ends the process on the spot."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if _in_main():  # only the main thread can set and run signal handlers
        signal.signal(signal.SIGTERM, stop)


@contextmanager
def process_of(store: Store, work: WorkFolder, patience: Patience | None = None) -> Iterator[None]:
    """Mark this process as alive while it writes runs, and close the runs that dead processes have left open.

    The store tags the runs that it starts with this process; `patience` sets how long to wait for the store.
    """
    for process in work.abandoned(_PROCESS):
        store.close_runs(process, "KILLED", "the process was killed")
    store.process = uuid4().hex
    lock = work.lock(_PROCESS + store.process)
    store.patience = patience
    try:
        yield
        with suppress(TrackingError):  # a run that was created twice because the first response was lost
            store.close_runs(store.process, "KILLED", "never used: the store's response was lost when it was created")
    finally:
        store.patience = None
        work.close()
        if lock is not None:
            work.release(lock)
            work.forget_inputs(_PROCESS)


@contextmanager
def given_up(walk: Walk, store: Store, runs: Callable[[], list[str]]) -> Iterator[None]:
    """If anything interrupts a walk, stop it and close its runs; `runs` lists them, and the first is reported."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        store.patience = None  # do not wait for the store any longer
        with _undisturbed():
            walk.stop()
            _close_runs(store, "KILLED", "interrupted")
        begun = runs()
        if not begun:
            raise Interrupted(f"interrupted: {_RESUME}") from None
        raise Interrupted(f"interrupted (run {begun[0]}): {_RESUME}, or: orch rerun {begun[0][:8]}") from None
    except BaseException as error:
        store.patience = None
        with _undisturbed():
            walk.stop()
            _close_runs(store, "FAILED", one_line(error))
        raise


def _close_runs(store: Store, status: str, error: str) -> None:
    """Close the runs that this process has left open, if the store can be reached."""
    with suppress(TrackingError):
        store.close_runs(str(store.process), status, error)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore signals while interrupted runs are being closed."""
    if not _in_main():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()
