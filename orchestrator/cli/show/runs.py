"""The output of `orch runs`: a line for each run, the accuracy of its models, and why it failed if it did."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commands.runs import ListedRun
from orchestrator.figures import clock
from orchestrator.text import plain

_LOOK = {"running": "bold cyan", "finished": "green", "failed": "bold red", "interrupted": "yellow"}


def show_runs(console: Console, found: Sequence[ListedRun], more: bool) -> None:
    """Print the runs as a table; `more`: there are older ones."""
    if not found:
        console.print("No runs here yet: `orch run RECIPE` creates one.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, where in (("run", "left"), ("experiment", "left"), ("started", "left"), ("took", "right")):
        table.add_column(name, justify=where, no_wrap=name != "experiment", overflow="fold")  # type: ignore[arg-type]
    table.add_column("state", no_wrap=True)
    table.add_column("accuracy", overflow="fold")
    for run in found:
        table.add_row(
            run.run_id[:8],
            Text(plain(run.experiment)),
            when(run.started),
            "" if run.seconds is None else clock(run.seconds),
            Text(run.state, style=_LOOK[run.state]),
            _figures(run),
        )
    console.print(table)
    for line in _judged(found):
        console.print(Text(plain(line), style="dim"), soft_wrap=True)
    for run in found:
        if run.error and run.state == "failed":
            why = run.error.splitlines()[0]
            console.print(Text(plain(f"{run.run_id[:8]}  {why}"), style="red"), soft_wrap=True)
    if more:
        console.print("Older runs are not shown: use --limit 100, or --all.", style="dim")


def _judged(found: Sequence[ListedRun]) -> list[str]:
    """How the accuracies were judged: one line if that is the same for all runs, else one for each way."""
    ways: dict[str, list[str]] = {}
    for run in found:
        if run.models and run.judged_by:
            ways.setdefault(run.judged_by, []).append(run.run_id[:8])
    if len(ways) == 1:
        return [f"judged by: {next(iter(ways))}"]
    return [f"{', '.join(ids)} judged by: {how}" for how, ids in ways.items()]


def when(started: float, now: float | None = None) -> str:
    """A start time: `14:02` today, `28 Nov 14:02` this year, `2025-11-28` before."""
    begun, today = time.localtime(started), time.localtime(now)
    if begun[:3] == today[:3]:
        return time.strftime("%H:%M", begun)
    return time.strftime("%d %b %H:%M" if begun.tm_year == today.tm_year else "%Y-%m-%d", begun)


def _figures(run: ListedRun) -> Text:
    """Each model with its accuracy, labeled if the run is a sweep or has several seeds."""
    models = " ".join(f"{plain(m.model)} {m.accuracy:.3f}" for m in run.models)
    kind = "sweep: " if run.kind == "sweep" else f"{len(run.seeds)} seeds: " if run.seeds else ""
    return Text(f"{kind}{models}" if models else kind.removesuffix(": "))
