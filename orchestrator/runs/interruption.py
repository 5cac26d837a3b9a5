"""How a run ends that is not left to its end: Ctrl-C, SIGTERM, a store that is gone. What was finished is kept.

The runs that the process has left open are closed, its workers are ended, its lock is free.
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
    """SIGTERM ends a run as Ctrl-C does; either is reported as one error."""
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
    """Have SIGTERM raise KeyboardInterrupt: Ray puts a handler of its own there, which ends the process on the spot."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if _in_main():  # elsewhere no handler can be set, and none is called
        signal.signal(signal.SIGTERM, stop)


@contextmanager
def process_of(store: Store, work: WorkFolder, patience: Patience | None = None) -> Iterator[None]:
    """This process writes runs: what a process that is gone has left open is closed, and others see that this is not.

    The store marks the runs that it starts with this process, and is waited for as `patience` says.
    """
    for process in work.abandoned(_PROCESS):
        store.close_runs(process, "KILLED", "the process was killed")
    store.process = uuid4().hex
    lock = work.lock(_PROCESS + store.process)
    store.patience = patience
    try:
        yield
        with suppress(TrackingError):  # a run whose making was asked for twice, as the first answer was lost
            store.close_runs(store.process, "KILLED", "never used: the store's answer was lost when it was begun")
    finally:
        store.patience = None
        work.close()
        if lock is not None:
            work.release(lock)
            work.forget_inputs(_PROCESS)


@contextmanager
def given_up(walk: Walk, store: Store, runs: Callable[[], list[str]]) -> Iterator[None]:
    """Whatever keeps a walk from its end stops it and closes its runs; `runs` names them, the first is reported."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        store.patience = None  # who gives up does not wait
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
    """Close what this process has left open, as far as the store can be reached."""
    with suppress(TrackingError):
        store.close_runs(str(store.process), status, error)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing interrupts the marking of what was interrupted."""
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
