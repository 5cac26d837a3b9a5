"""Ray workers and the calls they are given: a free worker takes the next call.

A call that requests no GPU sees none. Its duration and its peak memory are returned with its result.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakSet

from orchestrator.runs.memory_peak import gpu_peak_mb, peak_mb, start_measuring
from orchestrator.runs.spare import Spare, end_spare, keep, take
from orchestrator.text import write_in_any_encoding

_GPUS_SEEN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

_RESTARTS = 100
"""How often a worker is restarted: more often than its calls are retried, but not forever if it cannot even start."""

Call = tuple[Callable[[Any], Any], Any]
"""A module-level function and its only argument."""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a call, and when it began and ended: seconds since the epoch, on the worker's clock."""

    result: Any
    began: float
    ended: float
    peak_mb: float | None = None
    """Peak main memory of the worker and its child processes."""
    gpu_peak_mb: float | None = None
    """Peak memory held by torch on the worker's GPU."""


def _timed(function: Callable[[Any], Any], argument: Any) -> Done:
    hide_gpus()
    write_in_any_encoding(sys.stdout, sys.stderr)
    start_measuring()
    began = time.time()
    result = function(argument)
    return Done(result, began, time.time(), peak_mb(), gpu_peak_mb())


def hide_gpus() -> None:
    """Hide all GPUs from a worker that was given none: Ray shows it all of them, and a trainer would use them all.

    CUDA reads the variables on first use, so nothing may have used it in this process before.
    """
    import ray

    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ.update(dict.fromkeys(_GPUS_SEEN, ""))


class _Worker:
    """A Ray actor that runs one call after another."""

    def ready(self) -> None:
        """Returns as soon as the worker has its GPU and is up."""

    def call(self, function: Any, argument: Any) -> Done:
        return _timed(function, argument)


class Crew:
    """Workers and the calls they have been given. A free worker takes the next call.

    Calls without a GPU go to any idle Ray process, which is already warm. Calls with a GPU get their own workers: each
    keeps what it has loaded from one call to the next, and ends when no call is left for it. That leaves the GPU's
    memory empty for the next crew; an idle worker with a loaded engine would not. The exception: if the calls `load`
    something by name, the worker moves on to a crew that waits for a GPU and loads the same; while no crew is waiting,
    it is kept for a moment.
    A worker gets its first call once it has its GPU: if GPUs are scarce, a few workers run all calls one after another,
    and the rest are never started.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        cpus: int,
        gpus: float,
        retries: int,
        at_once: int,
        *,
        where: Any = "DEFAULT",
        load: str = "",
        starts_workers: bool = False,
    ) -> None:
        """`where` is Ray's scheduling strategy; `starts_workers`: the calls request cores and GPUs themselves."""
        import ray

        self._loads = Spare(cpus, gpus, load) if gpus and load else None
        self._needs_cores = bool(cpus and not gpus)
        self._starts_workers = starts_workers
        self._number = next(_numbers)
        if calls and (cpus or gpus or starts_workers):
            end_spare(but=self._loads)  # they may hold the resources that these calls wait for
        self._waiting = deque(enumerate(calls))
        self._has: dict[Any, Any] = {}
        """For each reference to a call, the worker that has it; None: one of Ray's own."""
        self._starting: dict[Any, Any] = {}
        """For each reference to a worker that has no GPU yet, the worker."""
        self._places: dict[Any, int] = {}
        """For each reference to a call, its position among all calls."""
        self._task = ray.remote(_timed).options(num_cpus=cpus, max_retries=retries, scheduling_strategy=where)
        worker = ray.remote(_Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=_RESTARTS,
            max_task_retries=retries,
            scheduling_strategy=where,
        )
        for _ in range(min(len(calls), at_once)):
            if not gpus:
                self._give(None)
            elif self._loads is not None and (spare := take(self._loads)) is not None:
                self._give(spare)
            else:
                started = worker.remote()
                self._starting[started.ready.remote()] = started
        _crews.add(self)

    @property
    def pending(self) -> list[Any]:
        """Ray's references to everything unfinished: calls that workers have, and workers that wait for their GPU."""
        return [*self._places, *self._starting]

    @property
    def working(self) -> int:
        """Number of calls that workers have."""
        return len(self._places)

    @property
    def left(self) -> int:
        """Number of calls that are not done."""
        return len(self._places) + len(self._waiting)

    def _give(self, worker: Any) -> None:
        """Give a worker the next call; after the last one, kill the workers that have no GPU yet.

        A worker that cannot be given it, such as if Ray has no room for the arguments, is killed, and the call stays.
        """
        import ray

        place, call = self._waiting.popleft()
        try:
            reference = (self._task if worker is None else worker.call).remote(*call)
        except BaseException:
            self._waiting.appendleft((place, call))
            if worker is not None:
                ray.kill(worker)
            raise
        self._places[reference], self._has[reference] = place, worker
        if not self._waiting:
            for other in self._starting.values():
                ray.kill(other)
            self._starting = {}

    def take(self, reference: Any) -> tuple[int, Done] | None:
        """The position and result of a call that has ended; raises Ray's error if the call failed.

        None: the reference is to a worker that waited for its GPU.
        """
        import ray

        if (worker := self._starting.pop(reference, None)) is not None:
            try:
                ray.get(reference)
            except BaseException:
                ray.kill(worker)
                raise
            self._give(worker)
            return None
        if reference not in self._places:  # a worker that is no longer needed
            return None
        place, worker = self._places.pop(reference), self._has.pop(reference)
        done = None
        try:
            done = ray.get(reference)
            return place, done
        finally:
            if self._waiting:
                self._give(worker)
            elif worker is not None and done is not None and self._loads is not None:
                _pass_on(worker, self._loads)
            elif worker is not None:
                ray.kill(worker)

    @property
    def _waits(self) -> bool:
        """Whether calls are waiting for a GPU, or may be."""
        return bool(self._starting) or (self._starts_workers and bool(self._places))

    @property
    def _may_need_cores(self) -> bool:
        """Whether calls without a GPU may be waiting for cores."""
        return self._needs_cores and bool(self.left)

    def _adopt(self, worker: Any) -> None:
        """Give the next call to a worker that already has a GPU, in place of one that is waiting for it."""
        import ray

        reference = next(iter(self._starting))
        self._give(worker)
        if (other := self._starting.pop(reference, None)) is not None:
            ray.kill(other)

    def stop(self) -> None:
        """Stop all unfinished calls."""
        import ray

        self._waiting.clear()
        for reference, worker in self._has.items():
            if worker is None:
                ray.cancel(reference, force=True)
            else:
                ray.kill(worker)
        for worker in self._starting.values():
            ray.kill(worker)
        self._has, self._places, self._starting = {}, {}, {}


_crews: WeakSet[Crew] = WeakSet()
"""Crews that may have calls in progress."""
_numbers = count()


def _pass_on(worker: Any, has: Spare) -> None:
    """Reassign, keep or kill a worker whose crew has no more calls; `has` is what it holds."""
    import ray

    waiting = [crew for crew in _crews if crew._waits]
    first = min(waiting, key=lambda crew: crew._number, default=None)
    if first is not None and first._loads == has:
        with suppress(Exception):  # the worker is killed, so that the crew's own gets its GPU, and reports the error
            first._adopt(worker)
    elif first is None and not any(crew._may_need_cores for crew in _crews):
        keep(has, worker)
    else:
        ray.kill(worker)


def stop_all() -> None:
    """Stop the unfinished calls of all crews, and the workers that are kept."""
    import ray

    end_spare()
    for crew in list(_crews):
        if crew.pending and ray.is_initialized():
            crew.stop()
    _crews.clear()
