"""The verb that hands a recipe to a cluster: submit."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, RecipeArgument, SweepOverrides

_EXITS = {"STOPPED": 130}


def submit(
    recipe: RecipeArgument,
    overrides: SweepOverrides = None,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="URL",
            envvar="RAY_API_SERVER_ADDRESS",
            help="Of Ray's dashboard, as http://HOST:8265.",
            show_default=False,
        ),
    ] = "http://127.0.0.1:8265",
    sweep: Annotated[bool, typer.Option("--sweep", help="Run its sweep rather than the recipe.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME", help="A variable of yours that the job gets; may be repeated."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow what it prints.")] = False,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Slurm script instead; it is not sent.", show_default=False),
    ] = None,
    kubernetes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a manifest for KubeRay instead; it is not sent.", show_default=False),
    ] = None,
    nodes: Annotated[int, typer.Option(help="Of the Slurm job; pods of the Kubernetes job.")] = 1,
    cpus: Annotated[int, typer.Option(help="Of each of its nodes.")] = 8,
    gpus: Annotated[int, typer.Option(help="Of each of its nodes.")] = 0,
    time: Annotated[str, typer.Option(help="That it may take at the most.")] = "04:00:00",
    image: Annotated[str, typer.Option(help="Of the Kubernetes job: one with orch in it.")] = "orch",
    memory: Annotated[str, typer.Option(help="Of each of its pods.")] = "16Gi",
    secret: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A Kubernetes secret whose entries become variables.", show_default=False),
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Send the script, too (sbatch).")] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe on a Ray cluster as a job, which goes on when this terminal is closed.

    This folder is sent along, without mlruns. MLFLOW_TRACKING_URI has to name a store that the cluster reaches;
    orch has to be installed on it. Ctrl-C asks whether to stop the job.

    orch submit recipes/rft.yaml --address http://HOST:8265 storage=/var/tmp/orch

    For Slurm: orch submit recipes/rft.yaml --slurm job.sh --nodes 2 --gpus 4

    For Kubernetes: orch submit recipes/rft.yaml --kubernetes job.yaml --image REGISTRY/orch:1
    """
    if slurm is not None and kubernetes is not None:
        raise typer.BadParameter("--slurm and --kubernetes: one of them at a time")
    if send and slurm is None:
        raise typer.BadParameter("--send sends a Slurm script: name its file with --slurm")
    if kubernetes is not None:
        from orchestrator.commands.kubernetes import Pods, kubernetes_manifest

        pods = Pods(image, nodes, cpus, gpus, memory, secret)
        text = kubernetes_manifest(recipe, overrides or (), pods, sweep=sweep)
        _write(kubernetes, text, f"kubectl apply -f {kubernetes}", as_json)
        return
    if slurm is not None:
        from orchestrator.commands.slurm import Nodes, slurm_script

        asked = Nodes(nodes, cpus, gpus, time)
        text = slurm_script(recipe, overrides or (), asked, file=slurm.name, sweep=sweep)
        _write(slurm, text, f"sbatch {slurm}", as_json, send)
        return
    from orchestrator.commands.submit import submit as hand_over

    made = hand_over(recipe, overrides or (), address=address, sweep=sweep, env=env or ())
    said = sys.stderr if as_json else sys.stdout
    print(f"job {made.job} at {made.address}: {made.command}", file=said, flush=True)
    code = 0
    if not detach:
        try:
            made.jobs.follow(made.job, lambda lines: print(lines, end="", file=said, flush=True))
        except KeyboardInterrupt:
            if not (sys.stdin.isatty() and typer.confirm("\nStop the job, too?", default=False, err=True)):
                print(f"\nIt goes on. To stop it: ray job stop {made.job} --address {made.address}", file=sys.stderr)
                raise typer.Exit(130) from None
            made.jobs.stop(made.job)
        ended = made.jobs.ended(made.job)
        if ended is not None and ended.status != "SUCCEEDED":
            code = _EXITS.get(ended.status) or ended.exit_code or 1
            if ended.exit_code is None:
                print(f"orch: the job was not run to its end: {ended.message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"job": made.job, "address": made.address, "command": made.command, "exit_code": code}))
    if code:
        raise typer.Exit(code)


def _write(file: Path, text: str, how_to_send: str, as_json: bool, send: bool = False) -> None:
    from orchestrator.commands.slurm import send as send_it
    from orchestrator.errors import InputError

    if not file.parent.is_dir():
        raise InputError(f"{file}: there is no folder {file.parent}")
    if file.exists():
        raise InputError(f"{file} is there already: name another file, or remove it")
    file.write_text(text, encoding="utf-8")
    said = send_it(file) if send else None
    if as_json:
        print(json.dumps({"script": str(file), "sent": said}))
    else:
        print(said or f"{file} is written. Look at it, then: {how_to_send}")
