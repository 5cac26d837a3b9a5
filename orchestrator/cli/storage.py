"""The verb on what runs leave beside the store: clean."""

import json
from typing import Annotated

import typer

from orchestrator.cli.options import Json, busy


def clean(
    storage: Annotated[
        str | None, typer.Option(help="The folder that the recipe names as its storage; default: mlruns/work.")
    ] = None,
    older_than: Annotated[
        float, typer.Option(min=0, help="Days after which work that a run could go on from is deleted too.")
    ] = 14.0,
    everything: Annotated[
        bool, typer.Option("--all", help="Do not wait so long: delete everything that no process is working on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it. Without this it is only listed.")] = False,
    as_json: Json = False,
) -> None:
    """List the work of failed, finished and abandoned stages that takes up disk space; delete it with --yes.

    Shards and checkpoints lie in mlruns/work until their stage is finished. Results are never there: what a finished
    stage has made is in the MLflow store, and is not touched. An interrupted run goes on from its checkpoints, so they
    are kept for --older-than days; what a running process works on is always kept.

    To look: orch clean. To delete what it lists: orch clean --yes. With interrupted runs: orch clean --all --yes
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
