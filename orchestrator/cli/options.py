"""Arguments and options that several verbs share. Imports nothing heavy."""

import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

from orchestrator.cli import completion
from orchestrator.commands.export import Dtype
from orchestrator.text import plain

RecipeArgument = Annotated[
    Path,
    typer.Argument(help="The recipe, a YAML file.", show_default=False, autocompletion=completion.recipes),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings to change, such as stages.rft.learning_rate=1e-4 or 'task.train={file: my.json}'.",
        show_default=False,
        autocompletion=completion.keys,
    ),
]
SweepOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE[,VALUE]...",
        help="Settings to change or to vary: stages.rft.learning_rate=1e-3,4e-3 tries both values.",
        show_default=False,
        autocompletion=completion.keys,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object to stdout at the end; progress goes to stderr.")
]


def _join(address: str | None) -> str | None:
    """Set RAY_ADDRESS, where all code that connects to a cluster looks for the address."""
    if address:
        os.environ["RAY_ADDRESS"] = address
    return address


Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster to run on; default: RAY_ADDRESS, else this machine.",
        show_default=False,
        callback=_join,
    ),
]

RunArgument = Annotated[
    str,
    typer.Argument(
        help="A run's id, the beginning of it, or its experiment's name; `last`: the newest run that is not a sweep.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Which seed of a run with several seeds; default: the first.")
]
ModelOption = Annotated[str | None, typer.Option(help="Which model of the run; default: the last.")]
Merged = Annotated[bool, typer.Option("--merged", help="Write whole weights, with the adapter merged into its base.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run code that the run's recipe names: a task's file, or code that comes with a model."
    ),
]
StoredAs = Annotated[
    Dtype, typer.Option("--dtype", help="Precision of whole weights; auto: the one used on this machine.")
]


def busy(console: "Console", what: str) -> AbstractContextManager[Any]:
    """On a terminal, show the current activity for as long as it lasts."""
    return console.status(what) if console.is_terminal else nullcontext()


def begins(console: "Console", name: str) -> None:
    """Print a first line if there is no terminal: libraries take seconds to load before the next line."""
    if not console.is_terminal:
        print(plain(f"{time.strftime('%H:%M:%S')}  {name}: reading the store"), file=console.file, flush=True)


def one_seed(console: "Console", run: str, seed: int | None) -> str:
    """The run of one seed if the named run is a sweep or has several seeds; prints the choice unless `seed` made it."""
    from orchestrator.commands.model_folder import model_folder
    from orchestrator.runs.past import seed_of

    if model_folder(run) is not None:
        return run
    one = seed_of(run, seed)
    if one.of_a_sweep:
        console.print("The run is a sweep; using the trial that it proposes.", style="dim")
    if one.seeds and seed is None:
        listed = ", ".join(map(str, one.seeds))
        console.print(f"The run has seeds {listed}; using seed {one.seed} (choose with --seed).", style="dim")
    return one.run_id
