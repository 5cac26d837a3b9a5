"""The verb for leftovers of runs outside the store: clean."""

import json
from typing import Annotated

import typer

from orchestrator.cli.options import Json, busy


def clean(
    storage: Annotated[
        str | None, typer.Option(help="The folder that the recipe names as `storage`; default: mlruns/work.")
    ] = None,
    older_than: Annotated[
        float, typer.Option(min=0, help="Days after which work that a run could resume from is deleted too.")
    ] = 14.0,
    everything: Annotated[
        bool, typer.Option("--all", help="Include everything that no process is working on, whatever its age.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the leftovers; without this, they are only listed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List leftovers of failed, finished and abandoned stages that take up disk space; delete them with --yes.

    Shards and checkpoints are kept in mlruns/work until their stage is finished. Results are safe: the output of a
    finished stage is in the MLflow store, which is never touched. An interrupted run resumes from its checkpoints, so
    they are kept for --older-than days; anything that a running process is working on is always kept.

    To list: orch clean. To delete what it lists: orch clean --yes. To include interrupted runs: orch clean --all
    --yes
    """
    from rich.console import Console

    from orchestrator.cli.show.storage import show_cleaned
    from orchestrator.commands.clean import clean as look

    console = Console(stderr=as_json)
    with busy(console, "looking"):
        found = look(storage, older_than=older_than, everything=everything, delete=yes)
    show_cleaned(console, found)
    if as_json:
        print(json.dumps(found.as_json()))
