"""The output of `orch logs`: the stages of a run with their states, then logs verbatim and in full."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commands.logs import RunLogs, StageLog
from orchestrator.text import plain

_LOOK = {
    "running": "bold cyan",
    "finished": "green",
    "reused": "blue",
    "failed": "bold red",
    "interrupted": "yellow",
}


def show_logs(console: Console, found: RunLogs, stage: str | None) -> None:
    """Print the list of stages unless one is named; then the logs of the named stage, or of those that failed."""
    if stage is None:
        _list(console, found)
    for one in found.shown:
        if stage is None or len(found.shown) > 1 or one.state == "reused":
            whose = _whose(one)
            title = f"{one.title}: reused from run {whose}" if whose else one.title
            console.print(Text(plain(f"\n== {title}"), style="bold"), soft_wrap=True)
        text = one.text if one.text is not None else f"It has stored no log. {one.error or ''}"
        if text:
            console.print(Text(plain(text.removesuffix("\n"))), soft_wrap=True)
    if stage is None and found.error is not None:
        console.print(Text("\n== the run itself", style="bold"))
        console.print(Text(plain(found.error.removesuffix("\n"))), soft_wrap=True)


def _list(console: Console, found: RunLogs) -> None:
    about = f"run {found.run_id} ({plain(found.experiment)}, {found.state})"
    console.print(Text(about, style="bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stage", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("lines", justify="right", no_wrap=True)
    for one in found.stages:
        lines = "not stored" if one.lines is None else f"{one.lines:,}"
        whose = _whose(one)
        state = f"{one.state} from {whose}" if whose else one.state
        table.add_row(Text(plain(one.title)), Text(state, style=_LOOK[one.state]), lines)
    console.print(table)
    console.print(Text(f"The log of one: orch logs {found.run_id[:8]} STAGE", style="dim"), soft_wrap=True)


def _whose(one: StageLog) -> str:
    """The run that executed the stage, if it was another one."""
    return "" if one.reused_from is None else one.reused_from[:8]
