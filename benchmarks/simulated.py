"""A cluster whose calls do nothing for a fixed time, and a store whose requests take a fixed time.

The scheduler that runs stages on them is real, so that its overhead can be measured on any machine.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.runs.cluster import Cluster
from orchestrator.runs.crew import Call, Done
from orchestrator.runs.worker_log import Logged
from orchestrator.sampling.completions import RESULTS_SCHEMA, summary
from orchestrator.stages.base import Kind, put_together
from orchestrator.stages.context import Context, Output
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import output_of
from orchestrator.types import DataUsed

_READING = ("runs", "with_id", "beginning", "experiments", "artifact", "output", "history", "address")
_WRITING = (
    "experiment",
    "tag_experiment",
    "start",
    "log_params",
    "log",
    "log_points",
    "log_evaluation",
    "log_data",
    "log_table",
    "log_folder",
    "end",
)


class CountingStore(MemoryStore):
    """An in-memory store that counts its requests; each takes `latency` seconds."""

    def __init__(self, folder: Path, latency: float = 0.0) -> None:
        super().__init__(folder)
        self.requests: Counter[str] = Counter()
        self._latency = latency
        self._inside = threading.local()
        self._fetched: set[tuple[str, str]] = set()
        for name in (*_READING, *_WRITING):
            setattr(self, name, self._counted(name, getattr(self, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "writing", False):  # one method calls another
                return method(*arguments, **named)
            if name in ("artifact", "output"):
                run = str(getattr(arguments[0], "run_id", arguments[0]))
                if (run, arguments[1]) in self._fetched:  # there is a copy already
                    return method(*arguments, **named)
                self._fetched.add((run, arguments[1]))
            self.requests[name] += 1
            time.sleep(self._latency)
            self._inside.writing = name in _WRITING
            try:
                return method(*arguments, **named)
            finally:
                self._inside.writing = False

        return call


@dataclass(eq=False)
class _Pending:
    """A submitted call. Times are seconds on the monotonic clock."""

    call: Call
    on_gpu: bool
    begins: float = float("inf")
    ends: float = float("inf")
    """Infinite while it waits for a GPU."""
    free_since: float = 0.0
    """When its GPU became idle."""


class Machine:
    """A number of GPUs, and a record of their calls. `output` creates a stage's output."""

    def __init__(self, gpus: int, seconds: float, output: Callable[[Any, Context], Output]) -> None:
        self.seconds, self.output = seconds, output
        self.first_calls: list[_Pending] = []
        """The first call of each crew that uses GPUs, in the order of submission."""
        self.calls = 0
        """Number of calls on GPUs."""
        self.spans: list[tuple[float, float]] = []
        """When each call on a GPU began and when it ends."""
        self._free = [time.monotonic()] * gpus
        """For each free GPU, the time since when it has been free."""
        self._waiting: list[_Pending] = []
        self._running: list[_Pending] = []

    def add(self, calls: Sequence[_Pending]) -> None:
        """Start these calls as soon as GPUs are free; a call that needs none is done immediately."""
        self._waiting += calls
        self._begin(time.monotonic())

    def next_end(self) -> float:
        """When the next call ends."""
        return min((call.ends for call in self._running), default=float("inf"))

    def advance(self) -> None:
        """End the calls that are due; calls that waited for their GPUs begin at that moment."""
        while (ends := self.next_end()) <= time.monotonic():
            call = min(self._running, key=lambda one: one.ends)
            self._running.remove(call)
            if call.on_gpu:
                self._free.append(ends)
            self._begin(ends)

    def _begin(self, now: float) -> None:
        for call in list(self._waiting):
            if call.on_gpu and not self._free:
                continue
            self._waiting.remove(call)
            self._running.append(call)
            call.begins = call.ends = now
            if call.on_gpu:
                self._free.sort()
                call.free_since = self._free.pop(0)
                call.ends += self.seconds
                self.spans.append((call.begins, call.ends))


class SimulatedCrew:
    """Calls that take their time and do nothing, except that assembling an output returns one."""

    def __init__(self, calls: Sequence[Call], gpus: float, machine: Machine) -> None:
        self._machine = machine
        self.pending = {_Pending(call, gpus > 0): place for place, call in enumerate(calls)}
        machine.add(list(self.pending))
        if gpus:
            machine.first_calls.append(next(iter(self.pending)))
            machine.calls += len(calls)

    @property
    def working(self) -> int:
        """Number of calls that have a GPU or wait for one."""
        return len(self.pending)

    @property
    def left(self) -> int:
        """Number of unfinished calls."""
        return len(self.pending)

    def take(self, reference: _Pending) -> tuple[int, Done]:
        """The position of a call that has ended, and its outcome."""
        logged: Logged = reference.call[1]
        result = self._machine.output(*logged.argument[:2]) if logged.function is put_together else None
        now = time.time()
        took = self._machine.seconds if reference.on_gpu else 0.0
        return self.pending.pop(reference), Done(result, now - took, now)

    def stop(self) -> None:
        """End all unfinished calls."""
        self.pending = {}


@dataclass(frozen=True)
class SimulatedCluster(Cluster):
    """The simulated hardware."""

    machine: Machine = field(kw_only=True)

    def submit(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int, **how: Any) -> Any:
        return SimulatedCrew(calls, gpus, self.machine)

    def wait(self, calls: Sequence[Any], timeout: float) -> list[Any]:
        end = time.monotonic() + timeout
        while True:
            self.machine.advance()
            now = time.monotonic()
            ended = [call for call in calls if call.ends <= now]
            if ended or now >= end:
                return ended
            time.sleep(max(0.0, min(self.machine.next_end(), end) - now))


def cluster(
    gpus: int, seconds: float, right: Callable[[Any, Context], Sequence[bool]] = lambda spec, context: [True] * 20
) -> SimulatedCluster:
    """A cluster with the given number of GPUs, on which each call takes `seconds`.

    `right` decides which questions of an evaluation are answered right, given its settings and its context.
    """
    machine = Machine(gpus, seconds, lambda spec, context: output(spec, context, right))
    return SimulatedCluster(64, 64, float(gpus), False, ((64, float(gpus)),), machine=machine)


def output(spec: Any, context: Context, right: Callable[[Any, Context], Sequence[bool]]) -> Output:
    """A stage's output, empty except for which questions were answered right."""
    path = context.output / output_of(spec.OUTPUT, context.also)
    if spec.MAKES is Kind.MODEL:
        path.mkdir(parents=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (path / name).write_text("{}")
        return Output("", {})
    path.parent.mkdir(parents=True)
    answered = list(right(spec, context)) if spec.MAKES is Kind.RESULTS else [True] * 20
    rows = [
        {"example_id": str(i), "question": "?", "gold": "1", "text": "1", "status": "correct" if one else "wrong"}
        for i, one in enumerate(answered)
    ]
    table = pa.Table.from_pylist(rows, schema=RESULTS_SCHEMA)
    pq.write_table(table, path)
    if spec.MAKES is not Kind.RESULTS:
        return Output("", {})
    used = DataUsed("results", "evaluation", "digest", "results.parquet", len(rows))
    return Output("", summary([table]).metrics(), (used,))


def busy(spans: Sequence[tuple[float, float]], slots: int) -> float:
    """The share of the time of GPUs, or of GPU shares, during which calls held them.

    Measured from when all of them are first in use until the last wave begins.
    """
    spans = sorted(spans)
    begin = next(at for at, _ in spans if sum(began <= at < ended for began, ended in spans) == slots)
    end = spans[-slots][0]
    used = sum(max(0.0, min(ended, end) - max(began, begin)) for began, ended in spans)
    return used / (slots * (end - begin))
