"""Writes of running stages to the store, done by other threads, so that the scheduler waits for no request.

Each job belongs to a run and has an owner, usually a stage of that run. The jobs of one run are done one at a time, in
the order they were submitted; those of different runs in parallel, if the store supports it. None is lost. A job's
error is raised to the scheduler when it next asks about that owner, and until then nothing more is written for that
owner: a stage whose artifacts could not be written gets no key. A store that cannot be reached or written ends all
writing; `check` raises that error.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from orchestrator.errors import RefusalError, TrackingError

Job = Callable[[], object]


class Writer:
    """A queue of jobs and the threads that do them: at most `threads`, started with the first jobs."""

    def __init__(self, threads: int = 1) -> None:
        self._most = threads
        self._changed = threading.Condition()
        self._jobs: deque[tuple[str, str, Job]] = deque()
        """Each with its run and its owner."""
        self._at_work: set[str] = set()
        """The runs that have a job in progress."""
        self._waiting: Counter[str] = Counter()
        """For each owner: the number of its unfinished jobs."""
        self._errors: dict[str, BaseException] = {}
        """For each owner: the error of one of its jobs, if it has not been raised to the caller yet."""
        self._fatal: BaseException | None = None
        self._threads: set[threading.Thread] = set()

    def submit(self, run: str, owner: str, job: Job) -> None:
        """Queue a job, to be done after all earlier jobs of its run.

        Raises:
            TrackingError: the store cannot be reached or written.
        """
        with self._changed:
            self._check()
            self._jobs.append((run, owner, job))
            self._waiting[owner] += 1
            self._changed.notify_all()
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name="store writer", daemon=True)
                self._threads.add(thread)
                thread.start()

    def check(self) -> None:
        """Raise the error that has ended all writing, if any."""
        with self._changed:
            self._check()

    def is_written(self, owner: str) -> bool:
        """Whether all jobs of an owner are done. Raises the error of one of them, once; the rest are dropped."""
        with self._changed:
            self._check()
            if owner in self._errors:
                self._drop(owner)
                raise self._errors.pop(owner)
            return self._waiting[owner] == 0

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every job is done, for at most `timeout` seconds; return whether all are.

        Raises:
            TrackingError: the store cannot be reached or written.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._waiting.total():
                self._check()
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            self._check()
        return True

    def wait(self, timeout: float) -> bool:
        """Wait until a job is done, for at most `timeout` seconds; False at once if there is none."""
        with self._changed:
            if not self._waiting.total():
                return False
            self._changed.wait(timeout)
            return True

    def close(self) -> None:
        """Start no further jobs; those in progress may finish."""
        with self._changed:
            for owner in {owner for _, owner, _ in self._jobs}:
                self._drop(owner)
            self._threads.clear()
            self._changed.notify_all()

    def _drop(self, owner: str) -> None:
        kept = [entry for entry in self._jobs if entry[1] != owner]
        self._waiting[owner] -= len(self._jobs) - len(kept)
        self._jobs = deque(kept)

    def _check(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    def _next(self) -> tuple[str, str, Job] | None:
        """Remove from the queue the first job of a run that no other thread is writing."""
        for place, entry in enumerate(self._jobs):
            if entry[0] not in self._at_work:
                del self._jobs[place]
                return entry
        return None

    def _work(self) -> None:
        while True:
            with self._changed:
                while (taken := self._next() if self._may_go_on() else None) is None and self._may_go_on():
                    self._changed.wait()
                if taken is None:
                    return
                run, owner, job = taken
                self._at_work.add(run)
                skipped = owner in self._errors
            error = None if skipped else _error_of(job)
            with self._changed:
                self._at_work.discard(run)
                self._waiting[owner] -= 1
                if error is not None and _is_fatal(error):
                    self._fatal = error
                elif error is not None:
                    self._errors[owner] = error
                self._changed.notify_all()

    def _may_go_on(self) -> bool:
        return self._fatal is None and threading.current_thread() in self._threads


def _error_of(job: Job) -> BaseException | None:
    try:
        job()
    except BaseException as error:
        return error
    return None


def _is_fatal(error: BaseException) -> bool:
    """Whether an error is not limited to one stage: the store is gone, or the process is ending."""
    if isinstance(error, TrackingError):
        return not isinstance(error, RefusalError)
    return not isinstance(error, Exception)
