"""Run a recipe on a cluster as a Ray job, which continues when this machine is shut down."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.commands.sweep import load_any
from orchestrator.errors import InputError
from orchestrator.runs.jobs import Jobs

_PORT = 8265
"""The default port of Ray's dashboard, which serves the Jobs API."""
_STORE = "MLFLOW_TRACKING_"
"""Prefix of the environment variables with the store's address and credentials."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that a cluster has accepted."""

    job: str
    address: str
    command: str
    jobs: Jobs


def submit(
    recipe: str | Path, overrides: Sequence[str] = (), *, address: str, sweep: bool = False, env: Sequence[str] = ()
) -> Submitted:
    """Run a recipe, or with `sweep` its sweep, on the cluster whose dashboard is at `address`.

    Uploads the current working folder, without `mlruns` and virtual environments. Passes on the environment variables
    with the store's address and credentials, and those named in `env`.

    Raises:
        InputError: the cluster cannot be reached or rejects the job; it could not reach the store; the recipe is not
            in this folder; a variable is not set.
        RecipeError: the recipe is invalid.
    """
    load_any(recipe, overrides, sweep)  # report errors here, not after the job has waited for a machine
    folder = Path.cwd().resolve()
    file = Path(recipe).resolve()
    if not file.is_relative_to(folder):
        raise InputError(f"{recipe} is not in this folder, which is what is sent: start orch in the recipe's folder")
    missing = [name for name in env if name not in os.environ]
    if missing:
        raise InputError(f"--env {missing[0]}: that variable is not set here")
    passed = {name: value for name, value in os.environ.items() if name.startswith(_STORE) or name in env}
    refuse_own_store(os.environ.get("MLFLOW_TRACKING_URI", ""))
    words = ["orch", "sweep" if sweep else "run", str(file.relative_to(folder)), *overrides]
    jobs = Jobs(_dashboard(address))
    command = shlex.join(words)
    return Submitted(jobs.submit(command, folder, passed), jobs.address, command, jobs)


def _dashboard(address: str) -> str:
    """An address as Ray's client accepts it: HTTP unless it has a scheme, with the default port unless it has one."""
    whole = address if "://" in address else f"http://{address}"
    try:
        return whole if urlsplit(whole).port else f"{whole.rstrip('/')}:{_PORT}"
    except ValueError:
        raise InputError(f"{address} is not an address: write http://HOST:{_PORT}") from None


def refuse_own_store(uri: str) -> None:
    """Raise InputError for a file store: a job cannot reach one here, and one on the job's machine would be lost."""
    if uri.partition(":")[0] in ("", "sqlite", "file") or "://" not in uri:
        said = f"MLFLOW_TRACKING_URI is {uri}" if uri else "MLFLOW_TRACKING_URI is not set"
        raise InputError(f"{said}: a job needs a store that the cluster can reach, such as http://HOST:5000")
