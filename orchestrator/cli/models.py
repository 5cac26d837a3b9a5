"""Verbs that copy a model out of a run: export, push."""

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import completion
from orchestrator.cli.options import Json, Merged, ModelOption, RunArgument, SeedOption, StoredAs, Trust, busy, one_seed
from orchestrator.errors import InputError


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write: new, or empty.", show_default=False)],
    model: ModelOption = None,
    seed: SeedOption = None,
    merged: Merged = False,
    dtype: StoredAs = "auto",
    bundle: Annotated[bool, typer.Option("--bundle", help="Also write one zip next to it, FOLDER.zip.")] = False,
    bundle_mb: Annotated[
        float | None, typer.Option(min=0, help="Size limit of the zip; default: the recipe's limits.bundle_mb.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Write a model of a run as a folder that plain transformers and peft load, with a card that explains how.

    Adapter or merged weights, tokenizer, answer format, figures. Another recipe can use the folder as its model.name.
    """
    if bundle_mb is not None and not bundle:
        raise InputError("--bundle-mb is the size limit of the zip that --bundle makes: add --bundle")
    from rich.console import Console

    from orchestrator.cli.show.models import show_exported
    from orchestrator.commands.export import export as write

    console = Console(stderr=as_json)
    with busy(console, "exporting"):
        made = write(
            one_seed(console, run, seed),
            folder,
            model,
            merged=merged,
            dtype=dtype,
            bundle=bundle,
            bundle_mb=bundle_mb,
            trust=trust,
        )
    show_exported(console, made)
    if as_json:
        print(json.dumps(made.as_json()))


def push(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's id, the beginning of it, its experiment, `last`, or an exported folder.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub.", show_default=False)],
    model: ModelOption = None,
    seed: SeedOption = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    merged: Merged = False,
    dtype: StoredAs = "auto",
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Upload a model of a run, or an exported folder, to the Hugging Face Hub. Needs a token (hf auth login)."""
    from rich.console import Console

    from orchestrator.cli.show.models import show_pushed
    from orchestrator.commands.push import push as upload

    console = Console(stderr=as_json)
    with busy(console, "uploading"):
        done = upload(
            one_seed(console, run, seed), repo, model, private=private, merged=merged, dtype=dtype, trust=trust
        )
    show_pushed(console, done)
    if as_json:
        print(json.dumps(done.as_json()))
