"""Write a script that runs a recipe on a Slurm cluster: Ray on all nodes of the job, orch on the first."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.commands.sweep import load_any
from orchestrator.errors import InputError
from orchestrator.text import inline


@dataclass(frozen=True, slots=True)
class Nodes:
    """The resources that a Slurm job requests."""

    number: int = 1
    cpus: int = 8
    """Per node."""
    gpus: int = 0
    """Per node."""
    time: str = "04:00:00"
    """The time limit in Slurm's format: days-hours:minutes:seconds."""


_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}")


def slurm_script(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    nodes: Nodes | None = None,
    *,
    file: str = "FILE",
    sweep: bool = False,
) -> str:
    """The text of a batch script; nothing is submitted. `file`: the script's file name.

    Raises:
        InputError: an invalid number of nodes, cores or GPUs, or an invalid time.
        RecipeError: the recipe is invalid.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    asked = nodes or Nodes()
    for name, value, least in (("nodes", asked.number, 1), ("cpus", asked.cpus, 1), ("gpus", asked.gpus, 0)):
        if value < least:
            raise InputError(f"--{name}: at least {least}, not {value}")
    if not _TIME.fullmatch(asked.time):
        raise InputError(f"--time: {asked.time!r} is not a Slurm time: write hours:minutes:seconds, such as 04:00:00")
    loaded = load_any(recipe, overrides, sweep)
    command = shlex.join(["orch", "sweep" if sweep else "run", str(recipe), *overrides])
    # no autoescape: this is a script, not HTML, and its values are quoted by shlex or checked
    environment = Environment(
        loader=PackageLoader("orchestrator.commands"), trim_blocks=True, undefined=StrictUndefined, autoescape=False
    )
    return environment.get_template("slurm.sh.j2").render(
        title=inline(f"{recipe}: {'its sweep' if sweep else 'its run'} on {asked.number} nodes"),
        name=re.sub(r"[^\w.-]", "-", loaded.name),
        file=file,
        nodes=asked.number,
        cpus=asked.cpus,
        gpus=asked.gpus,
        time=asked.time,
        command=command,
    )


def send(file: Path) -> str:
    """Submit a script to Slurm; returns the output of `sbatch`.

    Raises:
        InputError: Slurm is not installed here, or it rejects the script.
    """
    try:
        done = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
    except FileNotFoundError:
        raise InputError(
            f"sbatch is not installed here: copy {file.name} to a machine of the Slurm cluster and submit it there"
        ) from None
    if done.returncode:
        raise InputError(f"sbatch rejected {file}: {(done.stderr or done.stdout).strip().splitlines()[0]}")
    return done.stdout.strip()
