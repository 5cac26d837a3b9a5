"""What several verbs take. Imports nothing heavy."""

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
        help="Settings to change, as stages.rft.learning_rate=1e-4 or 'task.train={file: my.json}'.",
        show_default=False,
        autocompletion=completion.keys,
    ),
]
SweepOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE[,VALUE]...",
        help="Settings to change, and settings to vary: stages.rft.learning_rate=1e-3,4e-3 tries both.",
        show_default=False,
        autocompletion=completion.keys,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; progress goes to stderr.")]


def _join(address: str | None) -> str | None:
    """The address goes where everything that asks for a cluster looks."""
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
        help="A run's id, the beginning of it, or its experiment's name; `last` for the newest that is no sweep.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Of a run of several seeds: which one; default: its first.")
]
ModelOption = Annotated[str | None, typer.Option(help="Which model of the run; default: its last.")]
Merged = Annotated[bool, typer.Option("--merged", help="Whole weights, the adapter merged into its base.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run code that the run's recipe names: a task's file, or what comes with a model."),
]
StoredAs = Annotated[Dtype, typer.Option("--dtype", help="Of whole weights; auto: the precision used on this machine.")]


def busy(console: "Console", what: str) -> AbstractContextManager[Any]:
    """What is going on, for as long as it goes on, where a person looks."""
    return console.status(what) if console.is_terminal else nullcontext()


def begins(console: "Console", name: str) -> None:
    """A first line, where nobody watches a terminal: libraries take seconds to load before the next one."""
    if not console.is_terminal:
        print(plain(f"{time.strftime('%H:%M:%S')}  {name}: reading the store"), file=console.file, flush=True)


def one_seed(console: "Console", run: str, seed: int | None) -> str:
    """The run of one seed, where a run of several is named; which one is printed unless it was asked for."""
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
