"""Run a recipe on a cluster as a job of Ray's, which goes on when this machine is shut."""

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
"""Of Ray's dashboard, which serves the Jobs API."""
_STORE = "MLFLOW_TRACKING_"
"""What variables begin with that say where the store is, and who may write to it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that a cluster has taken."""

    job: str
    address: str
    command: str
    jobs: Jobs


def submit(
    recipe: str | Path, overrides: Sequence[str] = (), *, address: str, sweep: bool = False, env: Sequence[str] = ()
) -> Submitted:
    """Have the cluster whose dashboard is at `address` run a recipe, or with `sweep` its sweep.

    The folder that this process works in is sent along, without `mlruns` and virtual environments. Variables that say
    where the store is are passed on, and those that `env` names.

    Raises:
        InputError: the cluster cannot be reached or does not take it; it would not reach the store; the recipe is not
            in this folder; a variable is not set.
        RecipeError: the recipe is wrong.
    """
    load_any(recipe, overrides, sweep)  # what is wrong with it is said here, not after it has waited for a machine
    folder = Path.cwd().resolve()
    file = Path(recipe).resolve()
    if not file.is_relative_to(folder):
        raise InputError(f"{recipe} is not in this folder, which is what is sent: start orch where the recipe lies")
    missing = [name for name in env if name not in os.environ]
    if missing:
        raise InputError(f"--env {missing[0]}: there is no such variable here")
    passed = {name: value for name, value in os.environ.items() if name.startswith(_STORE) or name in env}
    refuse_own_store(os.environ.get("MLFLOW_TRACKING_URI", ""))
    words = ["orch", "sweep" if sweep else "run", str(file.relative_to(folder)), *overrides]
    jobs = Jobs(_dashboard(address))
    command = shlex.join(words)
    return Submitted(jobs.submit(command, folder, passed), jobs.address, command, jobs)


def _dashboard(address: str) -> str:
    """An address as Ray's client takes it: `HOST` and `HOST:PORT` are HTTP."""
    whole = address if "://" in address else f"http://{address}"
    try:
        return whole if urlsplit(whole).port else f"{whole.rstrip('/')}:{_PORT}"
    except ValueError:
        raise InputError(f"{address} is no address: write http://HOST:{_PORT}") from None


def refuse_own_store(uri: str) -> None:
    """Raise InputError for a store in a file, of this machine or of whichever a job starts on: it would be lost."""
    if uri.partition(":")[0] in ("", "sqlite", "file") or "://" not in uri:
        said = f"MLFLOW_TRACKING_URI is {uri}" if uri else "MLFLOW_TRACKING_URI is not set"
        raise InputError(f"{said}: a job needs a store that the cluster reaches, such as http://HOST:5000")
