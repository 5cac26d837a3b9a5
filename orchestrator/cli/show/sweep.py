"""A sweep on the terminal: trials by state and the best so far while it runs, the standings at the end."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.parts import ECHO, STORE_ANSWERS, marked, show_conclusions, show_way_to_logs
from orchestrator.figures import clock, interval, p_value, points, value_text
from orchestrator.results import SweepResult, TrialResult
from orchestrator.runs.state import StageState
from orchestrator.schema import clipped
from orchestrator.sweeps.planned import PlannedSweep
from orchestrator.sweeps.progress import PHASES, progress_lines
from orchestrator.sweeps.search import Search, Tried
from orchestrator.sweeps.words import FEW, distinct, rank, short, shown
from orchestrator.text import plain

_HEADING = 12
"""Maximum characters in a line of a heading."""
_VALUE = 24
"""Maximum characters of a value in a table."""
_MOST_PLANNED = 30
"""Maximum number of trials listed in a plan."""
_MOST_ROWS = 12
"""Maximum number of lines for running stages."""


class SweepScreen:
    """Shows the progress of a sweep. `began`: its start on the monotonic clock."""

    def __init__(self, console: Console, name: str = "", began: float | None = None) -> None:
        self.console, self._name = console, name
        self._began = time.monotonic() if began is None else began
        self._live: Live | None = None
        self._search: Search | None = None
        self._states: list[StageState] = []
        self._told: dict[int, str] = {}
        self._phase = self._setup = self._run_id = self._note = ""
        """The last value of each that a plain line has reported."""

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Keep the display live during a sweep, if there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._shown, console=self.console, refresh_per_second=4) as self._live:
            yield
            self._live.refresh()

    def __call__(self, search: Search | None, states: list[StageState]) -> None:
        """Show what has changed."""
        self._search, self._states = search, states
        if self._live is None and search is None and states and states[0].figure not in ("", self._setup):
            self._setup = states[0].figure
            self._line(f"{self._name}: {self._setup}")
        if self._live is None and search is not None:
            if search.run_id and not self._run_id:
                self._run_id = search.run_id
                self._line(f"run {self._run_id}")
            for trial in search.trials:
                self._tell(trial)
            if search.walk.note != self._note:
                self._note = search.walk.note
                self._line(self._note or STORE_ANSWERS)
            if search.phase in PHASES and search.phase != self._phase:
                self._phase = search.phase
                self._line(PHASES[search.phase])

    def _tell(self, trial: Tried) -> None:
        """Print a line when a trial starts and when it ends."""
        if self._told.get(trial.number) == trial.state:
            return
        self._told[trial.number] = trial.state
        figure = "" if trial.value is None else f"  accuracy {trial.value:.3f}"
        error = f"  {trial.error}" if trial.error else ""
        self._line(f"trial {trial.number:<4} {trial.state}{figure}{error}  ({shown(trial.values)})")

    def _line(self, text: str) -> None:
        self.console.print(Text(f"{time.strftime('%H:%M:%S')}  {plain(text)}"), soft_wrap=True)

    def _shown(self) -> Group:
        search, passed = self._search, time.monotonic() - self._began
        if search is None:
            at = self._states[0].figure if self._states else ""
            return Group(Text(plain(f"set-up: {at or 'reading the store'}, {clock(passed)} so far"), style="dim"))
        head = [Text(plain(line)) for line in progress_lines(search, passed)]
        return Group(*head, *self._open(self.console.width - ECHO, self.console.height - 1 - 2 * len(head)))

    def _open(self, width: int, room: int) -> Iterator[Table | Text]:
        """The running stages, one line each, or more if the name is long; those without room are counted."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        running = [state for state in self._states if state.shown == "running"]
        name = min(max([len(state.title) for state in running], default=1), max(10, width - 41))
        table.add_column("stage", width=name, overflow="fold")
        table.add_column("state", width=9, no_wrap=True)
        table.add_column("far", width=max(10, min(40, width - name - 22)), no_wrap=True, overflow="ellipsis")
        table.add_column("elapsed", width=7, justify="right", no_wrap=True)
        shown, left = 0, min(room, _MOST_ROWS)
        for state in running:
            left -= -(-len(state.title) // name)
            if left < 0:
                break
            shown += 1
            told = "  ".join(part for part in (state.told, state.figure) if part)
            table.add_row(Text(plain(state.title)), marked(state.shown), Text(plain(told)), clock(state.elapsed))
        yield table
        if len(running) > shown:
            yield Text(f"and {len(running) - shown} more running", style="dim")


def show_sweep(console: Console, result: SweepResult, seconds: float | None = None) -> None:
    """Print the winner, the test, the trials, best first, and where to look next; `seconds`: the sweep's duration."""
    console.print()
    show_conclusions(console, result.conclusions)
    if result.trials:
        console.print(_standings(result, console.width))
    for error in result.errors:
        console.print(Text(plain(error), style="bold red"), soft_wrap=not console.is_terminal)
    complete = sum(trial.value is not None for trial in result.trials)
    if result.importance:
        shares = ", ".join(f"{short(name)} {share:.0%}" for name, share in result.importance.items())
        few = "; with so few trials hardly more than a guess" if complete < FEW else ""
        console.print(Text(plain(f"\nWhat explains the differences between trials: {shares}{few}"), style="dim"))
    count = result.stages
    console.print()
    console.print(Text(plain(result.experiment), style="bold"), end="", soft_wrap=True)
    console.print(
        f": {len(result.trials)} trials, {count['distinct']} stages instead of {count['asked']}, {count['run']} run, "
        f"{count['reused']} reused" + ("" if seconds is None else f", {clock(seconds)} in all"),
        highlight=False,
    )
    if result.best is not None and result.best.get("recipe"):
        recipe = result.best["recipe"]
        console.print(
            Text.assemble("The recipe with these values:  ", (f"orch run {plain(recipe)}", "bold")), soft_wrap=True
        )
    if result.report is not None:
        here = result.report if Path(result.report).is_file() else f"orch report {result.run_id} --open"
        console.print(Text.assemble("One page to pass around:  ", (plain(here), "bold")), soft_wrap=True)
    show_way_to_logs(console, result.run_id, result.errors)
    console.print("Trials side by side, parallel coordinates:  [bold]orch ui[/]", highlight=False)
    console.print(f"MLflow run {result.run_id}", style="dim", highlight=False)


def show_planned(console: Console, made: PlannedSweep) -> None:
    """Print the trials of a sweep, what they share, and the forecast."""
    sweep, adapts = made.variants.sweep, made.variants.adapts
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    settings = _Settings(table, [trial.label for trial in made.trials], sweep.names, console.width - 45)
    table.add_column("to run", overflow="fold")
    seen = set(made.cached)
    for number, trial in enumerate(made.trials[:: len(made.variants.seeds)]):
        fresh = [stage for stage in trial.plan.stages if stage.key not in seen]
        seen.update(stage.key for stage in fresh)
        if number < _MOST_PLANNED:
            table.add_row(str(number), *settings.of(trial.label), ", ".join(s.name for s in fresh) or "nothing")
    metric = made.variants.metric
    head = f"\nSweep ({sweep.method}) by {metric.name} on {metric.on}"
    console.print(Text(plain(head), style="bold"))
    console.print(table)
    if made.count > _MOST_PLANNED:
        console.print(f"and {made.count - _MOST_PLANNED} more", style="dim")
    console.print(
        f"then evaluates the best trial and the recipe's own values on {made.variants.recipe.evaluate.on}", style="dim"
    )
    about = "about " if adapts else ""
    seeds = f" of {len(made.variants.seeds)} seeds" if made.variants.several_seeds else ""
    console.print(
        f"{made.count} trials{seeds}: {about}{len(made.stages)} stages instead of {made.asked}, "
        f"{len(made.cached)} cached, {made.to_run} to run",
        highlight=False,
    )
    if adapts:
        console.print(
            Text("tpe proposes as results come in: these are its proposals before the first result", style="dim")
        )
    if made.to_run:
        console.print(Text(_how_long(made), style="dim"))


def _how_long(made: PlannedSweep) -> str:
    if made.unknown == made.to_run:
        return "No estimate: no comparable stage has run on this type of machine"
    gpus = f", {made.gpu_hours:.1f} GPU hours" if made.gpu_hours else ""
    rest = f"; {made.unknown} stages without an estimate are not included" if made.unknown else ""
    return f"About {clock(made.seconds)}, one stage after another{gpus}; from past runs here{rest}"


def sweep_json(made: PlannedSweep) -> dict[str, Any]:
    """A planned sweep for `--json`."""
    return {
        "trials": [{"label": dict(trial.label), "keys": [s.key for s in trial.plan.stages]} for trial in made.trials],
        "stages": {"asked": made.asked, "distinct": len(made.stages), "cached": len(made.cached)},
        "seconds": made.seconds,
        "gpu_hours": made.gpu_hours,
        "without_forecast": made.unknown,
    }


def _standings(result: SweepResult, width: int) -> Group:
    names = list(result.trials[0].label)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    settings = _Settings(table, [trial.label for trial in result.trials], names, width - 58)
    for title in ("accuracy", "vs best", "p", "seconds", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    best = None if result.best is None else result.best["number"]
    for trial in sorted(result.trials, key=rank):
        figure = Text(
            "" if trial.value is None else f"{trial.value:.3f} ", style="bold green" if trial.number == best else ""
        )
        if trial.low is not None and trial.high is not None:
            figure.append(interval(trial.low, trial.high), style="not bold default")
        table.add_row(
            str(trial.number),
            *settings.of(trial.label),
            figure,
            "" if trial.difference is None else points(trial.difference, sign=True),
            "" if trial.p is None else p_value(trial.p),
            f"{trial.seconds:.0f}" if trial.seconds else "",
            Text(_mark(trial, best), style="bold green" if trial.number == best else "dim"),
        )
    metric = result.metric
    note = f"{metric['name']} on {metric['on']}; [95% intervals]; p: paired test against the best, corrected (Holm)"
    note += f"\njudged by: {plain(result.judged_by)}" if result.judged_by else ""
    return Group(table, Text(note, style="dim"))


class _Settings:
    """The settings of trials in a table: one column each if they fit, else all in one column."""

    def __init__(self, table: Table, labels: Sequence[Mapping[str, Any]], names: Sequence[str], room: int) -> None:
        self._ends = distinct(names)
        heads = {name: _folded(end) for name, end in self._ends.items()}
        widths = [
            max(*(len(line) for line in heads[name].splitlines()), *(len(_value(label, name)) for label in labels))
            for name in names
        ]
        self._one_each = sum(widths) + 2 * len(widths) <= room
        for name in names if self._one_each else ():
            table.add_column(Text(heads[name]), justify="right", no_wrap=True)
        if not self._one_each:
            table.add_column("settings", overflow="fold")

    def of(self, label: Mapping[str, Any]) -> list[Text]:
        """The cells of one trial."""
        if self._one_each:
            return [Text(_value(label, name)) for name in self._ends]
        return [Text(", ".join(f"{end} {_value(label, name)}" for name, end in self._ends.items()))]


def _value(label: Mapping[str, Any], name: str) -> str:
    return clipped(" ".join(plain(value_text(label.get(name))).split()), _VALUE)


def _folded(name: str) -> str:
    """A heading wrapped to short lines, broken between its words."""
    lines = [""]
    for word in re.findall(r"[^_.]+[_.]?", name):
        if lines[-1] and len(lines[-1]) + len(word) > _HEADING:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _mark(trial: TrialResult, best: int | None) -> str:
    if trial.number == best:
        return "proposed"
    return ("tied" if trial.tied else "") if trial.state == "complete" else trial.state
