"""Ray: start it or join it, and what it has. The only home of ray.init."""

import logging
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError

_OBJECT_STORE = 200 * 1024 * 1024
"""Bytes for objects on one machine: what travels are rows of text, never weights."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call, and when it began and ended: seconds since the epoch, on the worker's clock."""

    result: Any
    began: float
    ended: float


def _timed(function: Any, argument: Any) -> Done:
    began = time.time()
    return Done(function(argument), began, time.time())


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to run on."""

    cores: int
    """Of the largest machine."""
    total_cores: int
    gpus: float

    def submit(self, function: Any, argument: Any, cpus: int, gpus: float, retries: int) -> Any:
        """Have a worker call `function(argument)`: Ray's reference of a `Done`.

        A worker that dies is replaced so many times.
        """
        import ray

        task = ray.remote(_timed).options(num_cpus=cpus, num_gpus=gpus, max_retries=retries)
        return task.remote(function, argument)


def connect() -> Cluster:
    """Join the cluster that RAY_ADDRESS names, else start Ray on this machine.

    Raises:
        InputError: the cluster cannot be joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    address = os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"the Ray cluster at RAY_ADDRESS={address} cannot be joined: {error}") from None
    else:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        # threads that wait by spinning take the core from the one they wait for, where cores are shared or rationed
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        ray.init(
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            _temp_dir=os.environ.get("RAY_TMPDIR") or str(Path(tempfile.gettempdir()) / "ray"),
            **quiet,
        )
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    cores = [int(n.get("CPU", 0)) for n in nodes]
    return Cluster(max(cores, default=1), sum(cores), sum(n.get("GPU", 0) for n in nodes))


def carry(cls: type) -> None:
    """Send a class along with its objects from now on, where workers cannot import it: it stands in a user's file."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[cls.__module__])


def disconnect() -> None:
    """Stop the workers, and Ray itself where this process started it."""
    import ray

    ray.shutdown()
