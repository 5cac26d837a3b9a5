"""The verb that sends a recipe to a cluster: submit."""

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
            help="Address of Ray's dashboard, such as http://HOST:8265.",
            show_default=False,
        ),
    ] = "http://127.0.0.1:8265",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Run the recipe's sweep instead of the recipe itself.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME", help="An environment variable to pass to the job; may be repeated."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the job's output.")] = False,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Slurm script instead; --send also submits it.", show_default=False),
    ] = None,
    kubernetes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a KubeRay manifest instead; it is not applied.", show_default=False),
    ] = None,
    nodes: Annotated[
        int, typer.Option(help="Number of nodes of the Slurm job, or worker pods of the Kubernetes job.")
    ] = 1,
    cpus: Annotated[int, typer.Option(help="CPU cores per node or worker pod.")] = 8,
    gpus: Annotated[int, typer.Option(help="GPUs per node or worker pod.")] = 0,
    time: Annotated[str, typer.Option(help="Time limit of the Slurm job.")] = "04:00:00",
    image: Annotated[str, typer.Option(help="Image for the Kubernetes job, with orch installed.")] = "orch",
    memory: Annotated[str, typer.Option(help="Memory per worker pod.")] = "16Gi",
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A Kubernetes secret whose entries become environment variables.", show_default=False
        ),
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Also submit the Slurm script (sbatch).")] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe on a Ray cluster as a job, which keeps running when this terminal is closed.

    Uploads this folder, without mlruns. MLFLOW_TRACKING_URI must name a store that the cluster can reach, and
    orch must be installed on the cluster. Ctrl-C asks whether to stop the job.

    orch submit recipes/rft.yaml --address http://HOST:8265 storage=/var/tmp/orch

    For Slurm: orch submit recipes/rft.yaml --slurm job.sh --nodes 2 --gpus 4

    For Kubernetes: orch submit recipes/rft.yaml --kubernetes job.yaml --image REGISTRY/orch:1
    """
    if slurm is not None and kubernetes is not None:
        raise typer.BadParameter("--slurm and --kubernetes cannot be combined")
    if send and slurm is None:
        raise typer.BadParameter("--send submits a Slurm script: name its file with --slurm")
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
            if not (sys.stdin.isatty() and typer.confirm("\nStop the job as well?", default=False, err=True)):
                print(
                    f"\nThe job continues. To stop it: ray job stop {made.job} --address {made.address}",
                    file=sys.stderr,
                )
                raise typer.Exit(130) from None
            made.jobs.stop(made.job)
        ended = made.jobs.ended(made.job)
        if ended is not None and ended.status != "SUCCEEDED":
            code = _EXITS.get(ended.status) or ended.exit_code or 1
            if ended.exit_code is None:
                print(f"orch: the job did not run to its end: {ended.message}", file=sys.stderr)
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
        raise InputError(f"{file} already exists: name another file, or remove it")
    file.write_text(text, encoding="utf-8")
    said = send_it(file) if send else None
    if as_json:
        print(json.dumps({"script": str(file), "sent": said}))
    else:
        print(said or f"{file} is written. Review it, then: {how_to_send}")
