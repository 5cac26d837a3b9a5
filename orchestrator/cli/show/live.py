"""The progress of a run: a live table on a terminal, plain lines with the time of day elsewhere.

Names and errors come from users and models: they are shown literally, never interpreted as markup.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orchestrator.cli.show.findings import headline
from orchestrator.cli.show.parts import ECHO, STORE_ANSWERS
from orchestrator.cli.show.run_table import run_table
from orchestrator.figures import clock
from orchestrator.runs.state import WORDS, Phase, RunState, StageState
from orchestrator.text import plain

_EVERY = 50.0
"""Seconds between plain lines about the progress of a stage."""
_AT_ONCE = 3
"""Maximum number of stages that get such a line at a time; the others are counted."""


class RunScreen:
    """Shows the progress of a run. `began`: its start on the monotonic clock."""

    def __init__(self, console: Console, name: str = "", began: float | None = None) -> None:
        self.console = console
        self._run = RunState(name, began=time.monotonic() if began is None else began)
        self._run.setup.at("reading the store")
        self._began = self._run.began
        self._live = False
        self._over: bool | None = None
        """Once it is over: whether it ended with a result. None: not over yet."""
        self._told: dict[str, str] = {"set-up": "reading the store"}
        """The last text printed about each subject (for a stage: its title); `begins` has printed the first."""
        self._said: dict[str, float] = {}
        """By title, when a line about a running stage was last printed."""
        self._noticed: dict[str, int] = {}
        """By title, the number of a stage's findings that were shown."""

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Keep the table live during a run, if there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        self._live = True
        with Live(get_renderable=self._shown, console=self.console, refresh_per_second=4):
            try:
                yield
                self._over = True
            finally:
                self._over = self._over or False

    def __call__(self, run: RunState) -> None:
        """Show what has changed."""
        self._run = run
        for state in run.stages:
            for finding in state.findings[self._noticed.get(state.title, 0) :]:
                self.console.print(headline(finding), soft_wrap=not self.console.is_terminal)
            self._noticed[state.title] = len(state.findings)
        if not self._live:
            self._tell(run)

    def _shown(self) -> Group:
        room = self.console.height - 1 if self._over is None else None
        if self._over is not None and (not self._run.stages or self._run.setup.state in ("failed", "stopped")):
            return Group()  # nothing was run, so there is nothing to show
        return run_table(self._run, self.console.width - ECHO, room, self._began, failures=self._over is not True)

    # -- plain lines -------------------------------------------------------------------------------------------------

    def _tell(self, run: RunState) -> None:
        """Print a line for everything that is new."""
        if run.run_id is not None and "run" not in self._told:
            self._say("run", f"run {run.run_id}")
        if run.note or "note" in self._told:
            self._say("note", run.note or STORE_ANSWERS)
        self._phase(run, run.setup)
        for state in run.stages:
            self._change(state)
        self._progress([state for state in run.stages if state.shown == "running"])
        self._phase(run, run.results)

    def _phase(self, run: RunState, phase: Phase) -> None:
        if phase.state == "running":
            self._say(phase.name, phase.figure, f"{run.name}: ")

    def _change(self, state: StageState) -> None:
        """Print a line when a stage changes state."""
        shown = state.shown
        if shown == "waiting" or self._told.get(state.title, "").split(" ", 1)[0].rstrip(",") == WORDS[shown]:
            return
        line, told = WORDS[shown], state.told
        if shown == "running":
            self._said[state.title] = time.monotonic()
            line += "" if state.expected is None else f", expected to take {clock(state.expected)}"
        elif shown == "failed":
            line += f"{f' {told}' if told else ''}: {state.figure}"
        elif shown == "stopped":
            line += f" {told}" if told else ""
        else:
            line += f" in {clock(state.seconds)}" if shown == "done" else ""
            line += f", {told}" if told else ""
        self._say(state.title, line, self._name(state))

    def _progress(self, running: Sequence[StageState]) -> None:
        """Print the progress of stages that have had no line for a while."""
        now = time.monotonic()
        due = [state for state in running if now - self._said.get(state.title, now) >= _EVERY]
        for state in due:
            self._said[state.title] = now
        for state in due[:_AT_ONCE]:
            left = "" if state.left is None else f", about {clock(state.left)} left"
            figure = f", {state.figure}" if state.figure else ""
            self._line(f"{self._name(state)}running, {state.told}{figure}, {clock(state.elapsed)} so far{left}")
        if len(due) > _AT_ONCE:
            self._line(f"and {len(due) - _AT_ONCE} more running")

    def _name(self, state: StageState) -> str:
        width = max(18, *(len(each.title) for each in self._run.stages))
        return f"{state.title:<{width}} "

    def _say(self, of: str, text: str, before: str = "") -> None:
        if self._told.get(of) != text:
            self._told[of] = text
            self._line(before + text)

    def _line(self, text: str) -> None:
        self.console.print(Text(f"{time.strftime('%H:%M:%S')}  {plain(text)}"), soft_wrap=True)
