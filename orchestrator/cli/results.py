"""Verbs for the results of runs: logs, diagnose, compare, report, runs, ui."""

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import completion
from orchestrator.cli.options import Json, SeedOption, Trust, busy, one_seed
from orchestrator.errors import InputError


def logs(
    run: Annotated[
        str | None, typer.Argument(help="A run's id, the beginning of it, its experiment, or `last` (the default).")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Argument(help="One stage, such as sft or evaluate.sft; default: list all, show those that failed."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only this seed of a run with several seeds.")] = None,
    as_json: Json = False,
) -> None:
    """Show the worker logs of a run: training steps, prints, logging, warnings, tracebacks.

    Without STAGE: a list of stages with their states, and the whole log of
    each that failed. The last 1 MB of each stage is stored (logs/STAGE.txt in
    MLflow), whether it finishes or fails. While a stage is running, or after
    it was killed, its log so far is shown. A reused stage has the log of the
    run that executed it.

    After a failure: orch logs
    To search a log: orch logs last sft | grep loss
    """
    from rich.console import Console

    from orchestrator.cli.show.logs import show_logs
    from orchestrator.commands.logs import logs as look

    console = Console(stderr=as_json)
    with busy(console, "reading the store"):
        found = look(run, stage, seed)
    show_logs(console, found, stage)
    if as_json:
        print(json.dumps(found.as_json()))


def diagnose(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run's id, the beginning of it, its experiment, `last` (the default), or a model folder.",
            autocompletion=completion.runs,
        ),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="For a model folder: the recipe to diagnose it under.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model of the run; may be repeated.")] = None,
    seed: SeedOption = None,
    questions: Annotated[
        int, typer.Option(min=1, help="Number of test questions for a model that was not evaluated.")
    ] = 100,
    trust: Trust = False,
    html: Annotated[Path | None, typer.Option(help="Also write the page to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Find out what went wrong with a run or a model: the likeliest cause first, with evidence and what to do.

    Examines files, curves, labels, generations, decoding, and the model itself. The page is also stored as an artifact
    of the run. Exits with 3 if anything is wrong.
    """
    from rich.console import Console

    console = Console(stderr=as_json)
    with busy(console, "looking"):
        one = one_seed(console, run or "last", seed)  # an unknown run is refused before torch is loaded
        from orchestrator.cli.show.findings import show_diagnosis, show_written
        from orchestrator.commands.diagnose import diagnose as look

        found, page = look(one, recipe, model, questions, trust=trust)
    if html is not None:
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--html {html}: cannot be written ({error.strerror})") from None
    show_diagnosis(console, found)
    if html is not None:
        show_written(console, "page", html)
    if as_json:
        print(json.dumps(found.as_json()))
    if found.sick:
        raise typer.Exit(3)


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN", help="Run ids or the beginnings of them, experiments, recipe files, or `last` (the default)."
        ),
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Compare the models of all runs of this experiment.")] = None,
    baseline: Annotated[str | None, typer.Option(help="The model to compare the others with; default: SFT.")] = None,
    on: Annotated[
        str | None, typer.Option(help="An extra split (evaluate.also) to compare on instead of the test split.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Show the trials of a sweep; default: the newest.")] = False,
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print one CSV row per model to stdout, the table to stderr.")
    ] = False,
) -> None:
    """Compare models: did training help? Intervals, paired tests, wins and losses, cost, and the answer in plain words.

    The models of a run, of several runs or of an experiment; runs that differ only in their seed are grouped.
    Exits with 2 if the models were evaluated on different questions, or judged differently.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv both write to stdout: keep one of them")
    from rich.console import Console

    if sweep:
        if experiment or baseline or on or as_csv or len(runs or ()) > 1:
            raise InputError(
                "--sweep shows the trials of one sweep: leave out --experiment, --baseline, --on and --csv"
            )
        from orchestrator.cli.show.sweep import show_sweep
        from orchestrator.commands.sweep import stored_sweep

        ended = stored_sweep(runs[0] if runs else None)
        show_sweep(Console(stderr=as_json), ended)
        if as_json:
            print(json.dumps(ended.as_json()))
        return
    from orchestrator.cli.show.comparison import as_csv as rows_of
    from orchestrator.cli.show.comparison import show_comparison
    from orchestrator.comparison.side_by_side import compare as look

    console = Console(stderr=as_json or as_csv)
    with busy(console, "reading the store"):
        found = look(*(runs or ()), experiment=experiment, baseline=baseline, on=on)
    show_comparison(console, found)
    if as_json:
        print(json.dumps(found.as_json()))
    if as_csv:
        print(rows_of(found), end="")


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run's id, the beginning of it, or its experiment; `last` (the default): the newest.",
            autocompletion=completion.runs,
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the page to this file, to share it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Rebuild the page even if it exists.")] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show a run on one HTML page: conclusion, accuracy, each question, curves, draws, completions, recipe.

    `orch run` builds the page when it ends; this command shows it, and builds it if it is missing. The page needs no
    network. It and its figures (PNG and SVG) are artifacts of the run in MLflow: report.html and figures/.

    To view it: orch report last --open. To share it: orch report last --out run.html
    """
    from rich.console import Console

    from orchestrator.cli.show.report import open_page, show_report
    from orchestrator.report.make import report as make

    console = Console(stderr=as_json)
    with busy(console, "building the page"):
        made = make(run, out, force=force, trust=trust)
    show_report(console, made)
    if as_json:
        print(json.dumps(made.as_json()))
    if open_it:
        open_page(made.page)


def runs(
    experiment: Annotated[str | None, typer.Option(help="Only runs of this experiment (the recipe's name).")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only runs in this state: running, finished, failed or interrupted.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of runs, newest first.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="List all runs.")] = False,
    as_json: Json = False,
) -> None:
    """List runs and sweeps, newest first: start time, duration, state, and the accuracy of their models.

    Other commands accept the id, the beginning of it, or the experiment for its newest run, as in
    `orch report 3f2a` and `orch report units`.
    """
    from rich.console import Console

    from orchestrator.cli.show.runs import show_runs
    from orchestrator.commands.runs import runs as look

    console = Console(stderr=as_json)
    with busy(console, "reading the store"):
        found = look(experiment, state, None if everything else limit + 1)  # type: ignore[arg-type]  # `look` checks it
    shown = found if everything else found[:limit]
    show_runs(console, shown, len(found) > len(shown))
    if as_json:
        print(json.dumps({"runs": [run.as_json() for run in shown]}))


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the MLflow UI for the store that `orch run` writes to (./mlruns), until Ctrl-C.

    The server's log goes to mlruns/ui.log. If a server for this store is already running, its address is printed.
    """
    import signal

    from rich.console import Console

    from orchestrator.commands.ui import ui as start

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    console = Console()
    server = start(host, port)
    signal.signal(signal.SIGTERM, end)
    try:
        found = "is running" if server.process is None else "takes about 15 s to start; Ctrl-C stops it"
        lines = [f"MLflow UI: {server.address}  (store: {server.store}; {found})"]
        if server.models is not None:
            lines.append(f"The newest run's models side by side: {server.models}")
        else:
            lines.append("Once a run is done, `orch ui` also prints the address of its models side by side")
        print("\n".join(lines), flush=True)
        with busy(console, "starting"):
            server.wait_ready()
        if server.process is not None:
            print(f"Ready; the server's log: {server.log}", flush=True)
        server.wait()
    except KeyboardInterrupt:
        print("The server has stopped.", flush=True)
    finally:
        server.stop()
