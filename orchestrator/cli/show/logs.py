"""What `orch logs` shows: the stages of a run with their states, then logs as they are, from their first line."""

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
    """The list of stages unless one was asked for; then the texts that were asked for, or those of failed stages."""
    if stage is None:
        _list(console, found)
    for one in found.shown:
        if stage is None or len(found.shown) > 1 or one.state == "reused":
            whose = _whose(one)
            title = f"{one.title}: made by run {whose}" if whose else one.title
            console.print(Text(plain(f"\n== {title}"), style="bold"), soft_wrap=True)
        text = one.text if one.text is not None else f"It has kept no log. {one.error or ''}"
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
        lines = "none kept" if one.lines is None else f"{one.lines:,}"
        whose = _whose(one)
        state = f"{one.state} from {whose}" if whose else one.state
        table.add_row(Text(plain(one.title)), Text(state, style=_LOOK[one.state]), lines)
    console.print(table)
    console.print(Text(f"The log of one: orch logs {found.run_id[:8]} STAGE", style="dim"), soft_wrap=True)


def _whose(one: StageLog) -> str:
    """The run that made it, where that is another one."""
    return "" if one.reused_from is None else one.reused_from[:8]
