"""Ray: start it or join it, and what it has. The only home of ray.init.

A session that the user has started, in this process or at RAY_ADDRESS, is joined and left alive: only the calls made
here are ended. A call that asks for no GPU sees none.
"""

import logging
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import psutil

from orchestrator.errors import InputError, OrchError
from orchestrator.runs.memory_peak import gpu_peak_mb, peak_mb, start_measuring
from orchestrator.store.disk_space import disk_full
from orchestrator.tasks import Task
from orchestrator.tasks.own_modules import module_names
from orchestrator.text import write_in_any_encoding

_OBJECT_STORE = 200 * 1024 * 1024
"""Bytes for objects on one machine: what travels are paths and questions, never completions or weights."""
_IN_FLIGHT = 256
"""Calls without a GPU that are handed to Ray at a time, or twice as many as can run: their arguments take memory."""
_LONGEST_FOLDER = 103 - 65
"""Characters: a Unix socket's path may have 103 on macOS (107 on Linux), and Ray appends up to 65 to its folder."""
_TRIES = 3
"""Starts of Ray at the most: on a busy machine its processes may not come up in the time that Ray gives them."""
_GPUS_SEEN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

T = TypeVar("T")
Call = tuple[Callable[[Any], Any], Any]
"""A module-level function, and its one argument."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call, and when it began and ended: seconds since the epoch, on the worker's clock."""

    result: Any
    began: float
    ended: float
    peak_mb: float | None = None
    """Main memory that the worker and the processes that it has started held at the most."""
    gpu_peak_mb: float | None = None
    """Memory that torch held on the worker's GPU at the most."""


def _timed(function: Callable[[Any], Any], argument: Any) -> Done:
    _hide_gpus()
    write_in_any_encoding(sys.stdout, sys.stderr)
    start_measuring()
    began = time.time()
    result = function(argument)
    return Done(result, began, time.time(), peak_mb(), gpu_peak_mb())


def _hide_gpus() -> None:
    """Show this worker no GPU where it was given none: Ray shows it all, and a trainer would use all of them.

    CUDA reads the variables when it is first used, so nothing may have used it in this process before.
    """
    import ray

    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ.update(dict.fromkeys(_GPUS_SEEN, ""))


class _Worker:
    """A process of Ray's that takes one call after another."""

    def call(self, function: Any, argument: Any) -> Done:
        return _timed(function, argument)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to run on."""

    cores: int
    """Of the largest machine."""
    total_cores: int
    gpus: float
    joined: bool
    """Whether the user started it: its workers may be on other machines than this process."""

    def submit(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int) -> "Crew":
        """Have workers make these calls, each on so many cores and GPUs.

        A worker that dies is replaced so many times.
        """
        slots = int(self.gpus // gpus) if gpus else max(_IN_FLIGHT, 2 * self.total_cores // max(1, cpus))
        return Crew(calls, cpus, gpus, retries, max(1, slots))

    def on_each_machine(self, function: Callable[[Any], T], argument: Any) -> dict[str, T]:
        """What a call comes to on each machine that takes work, by the machine's name."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(function).options
        made = {
            node["NodeManagerHostname"]: task(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(argument)
            for node in ray.nodes()
            if node["Alive"] and (node["Resources"].get("CPU") or node["Resources"].get("GPU"))
        }
        return {name: ray.get(reference) for name, reference in made.items()}


class Crew:
    """Workers, and the calls they have been given. A worker that is free takes the next call.

    Calls without a GPU go to whatever process of Ray's is idle, and find it warm. With a GPU there are workers for
    these calls alone: each keeps what it has loaded from one call to the next, and ends when no call is left for it. So
    a GPU's memory is empty for whoever comes next, which an idle worker with an engine in it would not leave it.
    """

    def __init__(self, calls: Sequence[Call], cpus: int, gpus: float, retries: int, at_once: int) -> None:
        import ray

        self._waiting = deque(enumerate(calls))
        self._has: dict[Any, Any] = {}
        """For each reference the worker that has the call; None: one of Ray's."""
        self.pending: dict[Any, int] = {}
        """Ray's reference of each call that a worker has or will have next, and the call's place among all of them."""
        self._task = ray.remote(_timed).options(num_cpus=cpus, max_retries=retries)
        worker = ray.remote(_Worker).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=retries, max_task_retries=retries
        )
        for _ in range(min(len(calls), at_once)):
            self._give(worker.remote() if gpus else None)
        _crews.add(self)

    @property
    def left(self) -> int:
        """Calls that are not done."""
        return len(self.pending) + len(self._waiting)

    def _give(self, worker: Any) -> None:
        """Give a worker the next call."""
        place, call = self._waiting.popleft()
        reference = (self._task if worker is None else worker.call).remote(*call)
        self.pending[reference], self._has[reference] = place, worker

    def take(self, reference: Any) -> tuple[int, Done]:
        """The place of a call that has ended, and what came of it; raises what Ray does where it failed."""
        import ray

        place, worker = self.pending.pop(reference), self._has.pop(reference)
        try:
            return place, ray.get(reference)
        finally:
            if self._waiting:
                self._give(worker)
            elif worker is not None:
                ray.kill(worker)

    def stop(self) -> None:
        """End all calls that are not done."""
        import ray

        self._waiting.clear()
        for reference, worker in self._has.items():
            if worker is None:
                ray.cancel(reference, force=True)
            else:
                ray.kill(worker)
        self._has, self.pending = {}, {}


_crews: WeakSet[Crew] = WeakSet()
"""Those that may have calls under way."""
_connected_here = False
"""Whether `connect` called ray.init, so that `disconnect` may shut it down."""


def is_joined() -> bool:
    """Whether a run would join a cluster, whose machines may be other ones than this."""
    ray = sys.modules.get("ray")
    return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())


def connect(notice: Callable[[str], None] = lambda line: None) -> Cluster:
    """Use the session that this process has, else join the cluster that RAY_ADDRESS names, else start Ray here.

    `notice` is called with a line where starting takes longer.

    Raises:
        InputError: the cluster cannot be joined; Ray's files cannot be where they are to be.
        OrchError: Ray did not start in several tries.
    """
    global _connected_here
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray recommends it in a paragraph where unset
    import ray

    joined = is_joined()
    if not ray.is_initialized():
        if joined:
            _join(os.environ["RAY_ADDRESS"])
        else:
            _start(notice)
        _connected_here = True
        _keep_to_itself()
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    cores = [int(n.get("CPU", 0)) for n in nodes]
    return Cluster(max(cores, default=1), sum(cores), sum(n.get("GPU", 0) for n in nodes), joined)


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def _keep_to_itself() -> None:
    """Keep Ray's paragraphs on workers that died off stdout, where a table or JSON is: the stage says why it failed.

    Ray prints them whatever `log_to_driver` says.
    """
    import ray._private.worker as worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        ray.shutdown()
        raise InputError(f"the Ray cluster at RAY_ADDRESS={address} cannot be joined: {_first_line(error)}") from None


def _start(notice: Callable[[str], None]) -> None:
    """Start Ray on this machine, again where its processes did not come up; those of a failed try are ended."""
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # threads that wait by spinning take the core from the one they wait for, where cores are shared or rationed
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = _ray_folder()
    for left in reversed(range(_TRIES)):
        others = set(psutil.Process().children())
        try:
            # `local`: a Ray that somebody else has started on this machine is not taken for one of ours
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                _temp_dir=str(folder),
                **_QUIET,
            )
            return
        except Exception as error:  # a start that took too long is a bare Exception
            ray.shutdown()
            _end([child for child in psutil.Process().children() if child not in others])
            if (full := disk_full(error, folder)) is not None:
                raise InputError(f"{full}; or set RAY_TMPDIR to a short path on another disk") from None
            if isinstance(error, ValueError | OSError) and not isinstance(error, ConnectionError | TimeoutError):
                raise InputError(
                    f"Ray cannot be started with its files in {folder}: {_first_line(error)}; set RAY_TMPDIR to a "
                    "short path on a disk with room"
                ) from None
            if not left:
                raise OrchError(
                    f"Ray did not start on this machine in {_TRIES} tries: {_first_line(error)} Run the command again "
                    f"when the machine is less busy; Ray's logs are in {folder}"
                ) from None
            notice(f"Ray did not start, trying again ({left} left)")


def _end(processes: list[psutil.Process]) -> None:
    """Kill these processes and those that they have started, and wait until they are gone."""
    family = list(processes)
    for process in processes:
        with suppress(psutil.Error):
            family += process.children(recursive=True)
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def _first_line(error: BaseException) -> str:
    """The first line of an error: Ray's messages go on for paragraphs."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _ray_folder() -> Path:
    """Where Ray keeps its sockets and logs: where temporary files go, unless sockets there had names too long."""
    if named := os.environ.get("RAY_TMPDIR"):
        return Path(named)
    usual = Path(tempfile.gettempdir()) / "ray"
    return usual if len(str(usual)) <= _LONGEST_FOLDER else Path("/tmp/ray")


def carry(cls: type[Task]) -> None:
    """Send a task's class along with its objects from now on, where workers cannot import it: it is in a user's file.

    So are the modules beside that file which it imports.
    """
    from ray import cloudpickle

    for name in (cls.__module__, *module_names(list(cls.MODULES))):
        if name in sys.modules:  # else it is sent by value anyway
            cloudpickle.register_pickle_by_value(sys.modules[name])


def disconnect() -> None:
    """End the calls made here that are not done, and Ray itself where `connect` called ray.init."""
    global _connected_here
    import ray

    for crew in list(_crews):
        if crew.pending and ray.is_initialized():
            crew.stop()
    _crews.clear()
    if _connected_here:
        ray.shutdown()
        _connected_here = False
