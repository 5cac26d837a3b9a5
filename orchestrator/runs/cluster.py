"""Ray: start or join it, and report its resources. The only place that calls ray.init.

A session that the user has started, in this process or at RAY_ADDRESS, is joined and left running: only the
calls submitted here are stopped.
"""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from orchestrator.errors import InputError, OrchError
from orchestrator.runs.crew import Call, Crew, stop_all
from orchestrator.stages.context import Share
from orchestrator.store.disk_space import disk_full
from orchestrator.tasks import Task
from orchestrator.tasks.own_modules import module_names

_OBJECT_STORE = 200 * 1024 * 1024
"""Bytes for objects on one machine: calls carry paths and questions, never completions or weights."""
_IN_FLIGHT = 256
"""Calls without a GPU submitted to Ray at a time, or twice the number that can run if larger: arguments take memory."""
_LONGEST_FOLDER = 103 - 65
"""Characters: a Unix socket's path may have 103 on macOS (107 on Linux), and Ray appends up to 65 to its folder."""
_KNOCK = 10
"""Seconds within which a cluster to be joined has to respond."""
_TRIES = 3
"""Maximum attempts to start Ray: on a busy machine its processes may not come up within Ray's own timeout."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The available hardware."""

    cores: int
    """Cores of the largest machine."""
    total_cores: int
    gpus: float
    joined: bool
    """Whether the user started it: its workers may be on other machines than this process."""
    machines: tuple[tuple[int, float], ...]
    """Cores and GPUs of each machine."""
    apart: bool = field(default=False, kw_only=True)
    """Whether some machines do not see the driver's work folder."""

    def too_large(self, share: Share) -> list[str]:
        """The parts of a job's share that can never be met here, each starting with the name of the resource."""
        found = []
        if share.all_gpus > self.gpus:
            there = f"the total here is {self.gpus:g}" if self.gpus else "there are none here"
            found.append(f"gpus: asks for {share.all_gpus:g}, but {there}")
        if share.cpus > self.cores:
            found.append(f"cpus: asks for {share.cpus}, but the largest machine here has {self.cores}")
        if share.workers > 1 and not found:
            fit = [_fit(cores, share.cpus, gpus, share.gpus) for cores, gpus in self.machines]
            # the workers write to one folder, so unless all machines see it they must be on the same one
            room = max(fit, default=0) if self.apart else sum(fit)
            if room < share.workers:
                each = f"{share.cpus} CPU" + (f" and {share.gpus:g} GPU" if share.gpus else "")
                found.append(f"workers: asks for {share.workers} of {each} each, but there is room for {room} here")
        return found

    def places(self, share: Share) -> int:
        """Number of jobs with this share that can run in parallel; at least one."""
        fit = (_fit(cores, share.all_cpus, gpus, share.all_gpus) for cores, gpus in self.machines)
        return max(1, sum(fit))

    def submit(
        self,
        calls: Sequence[Call],
        cpus: int,
        gpus: float,
        retries: int,
        *,
        with_the_files: bool = False,
        load: str = "",
        starts_workers: bool = False,
    ) -> Crew:
        """Submit these calls to workers, each on `cpus` cores and `gpus` GPUs.

        A call whose worker dies is retried up to `retries` times. `with_the_files`: if some machines do not see the
        work folder, run on the driver's machine without reserving cores, as it may have none. `load`: what the calls
        load and keep loaded. `starts_workers`: the calls request cores and GPUs themselves.
        """
        slots = int(self.gpus // gpus) if gpus else max(_IN_FLIGHT, 2 * self.total_cores // max(1, cpus))
        if with_the_files and self.apart:
            where = on_this_machine()
            return Crew(calls, 0, 0.0, retries, max(1, slots), where=where, starts_workers=starts_workers)
        return Crew(calls, cpus, gpus, retries, max(1, slots), load=load, starts_workers=starts_workers)

    def wait(self, calls: Sequence[Any], timeout: float) -> list[Any]:
        """The pending calls that have ended; waits until one ends, for at most `timeout` seconds."""
        import ray

        ended, rest = ray.wait(list(calls), num_returns=1, timeout=timeout)
        if ended and rest:  # collect all of them now: an idle worker must not wait until the next poll
            ended += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return list(ended)

    def on_each_machine(
        self, function: Callable[[Any], T], argument: Any, timeout: float | None = None
    ) -> list[tuple[str, T]]:
        """Call a function on each machine that accepts work: names and results. TimeoutError after `timeout`."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(function).options
        made = [
            (
                node["NodeManagerHostname"],
                task(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                    argument
                ),
            )
            for node in ray.nodes()
            if node["Alive"] and (node["Resources"].get("CPU") or node["Resources"].get("GPU"))
        ]
        results = ray.get([reference for _, reference in made], timeout=timeout)
        return [(name, result) for (name, _), result in zip(made, results, strict=True)]


def on_this_machine() -> Any:
    """Ray's scheduling strategy for the machine of this process only."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


_connected_here = False
"""Whether `connect` called ray.init, so that `disconnect` may shut Ray down."""


def is_joined() -> bool:
    """Whether a run would join an existing cluster, whose machines may differ from this one."""
    ray = sys.modules.get("ray")
    return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())


def connect(notice: Callable[[str], None] = lambda line: None) -> Cluster:
    """Use this process's Ray session if there is one, else join the cluster at RAY_ADDRESS, else start Ray here.

    `notice` is called with a line of text if starting takes longer.

    Raises:
        InputError: the cluster cannot be joined, or Ray's files cannot be stored in their folder.
        OrchError: Ray did not start after several attempts.
    """
    global _connected_here
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a worker without a GPU sees none
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
    machines = tuple((int(n.get("CPU", 0)), float(n.get("GPU", 0))) for n in nodes)
    cores = [cpus for cpus, _ in machines]
    return Cluster(max(cores, default=1), sum(cores), sum(gpus for _, gpus in machines), joined, machines)


def _fit(cores: int, cpus: int, gpus: float, gpu: float) -> int:
    """Number of workers with that many CPUs and GPUs each that fit on a machine."""
    fit = cores // cpus if cpus else cores
    return min(fit, int(gpus // gpu)) if gpu else fit


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def _keep_to_itself() -> None:
    """Keep Ray's long messages about dead workers off stdout, which has a table or JSON: the stage reports the failure.

    Ray prints them regardless of `log_to_driver`.
    """
    import ray._private.worker as worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _join(address: str) -> None:
    import ray

    try:
        _knock(address)
        ray.init(address=address, **_QUIET)
    except (OSError, RuntimeError, ValueError) as error:
        ray.shutdown()
        raise InputError(f"the Ray cluster at RAY_ADDRESS={address} cannot be joined: {_first_line(error)}") from None


def _knock(address: str) -> None:
    """Raise OSError if nothing responds at HOST:PORT: Ray would try for minutes and print its own warnings."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()


def _start(notice: Callable[[str], None]) -> None:
    """Start Ray on this machine; if its processes do not come up, kill them and retry."""
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # if cores are shared or rationed, a spinning thread takes the core from the thread it waits for
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = _ray_folder()
    for left in reversed(range(_TRIES)):
        others = set(psutil.Process().children())
        try:
            # `local`: do not connect to a Ray that somebody else has started on this machine.
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                _temp_dir=str(folder),
                **_QUIET,
            )
            return
        except Exception as error:  # a startup timeout is a bare Exception
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
    """Kill these processes and their descendants, and wait until they are gone."""
    family = list(processes)
    for process in processes:
        with suppress(psutil.Error):
            family += process.children(recursive=True)
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def _first_line(error: BaseException) -> str:
    """The first line of an error: Ray's messages run to several paragraphs."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _ray_folder() -> Path:
    """The folder for Ray's sockets and logs: in the temporary folder, unless socket paths there would be too long."""
    if named := os.environ.get("RAY_TMPDIR"):
        return Path(named)
    usual = Path(tempfile.gettempdir()) / "ray"
    return usual if len(str(usual)) <= _LONGEST_FOLDER else Path("/tmp/ray")


def carry(cls: type[Task]) -> None:
    """Pickle a task's class by value from now on: it is in a user's file, which workers cannot import.

    The same goes for the modules next to that file that it imports.
    """
    from ray import cloudpickle

    for name in (cls.__module__, *module_names(list(cls.MODULES))):
        if name in sys.modules:  # otherwise it is pickled by value anyway
            cloudpickle.register_pickle_by_value(sys.modules[name])


def disconnect() -> None:
    """Stop the unfinished calls submitted here, and shut Ray down if `connect` called ray.init."""
    global _connected_here
    import ray

    stop_all()
    if _connected_here:
        ray.shutdown()
        _connected_here = False
