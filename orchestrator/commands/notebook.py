"""Progress display in a notebook during `run` and `sweep`: one output, updated in place. Nothing elsewhere.

Does not import IPython: in a notebook, it is already loaded.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from orchestrator.figures import clock
from orchestrator.notebook import block, paragraphs, table
from orchestrator.runs.state import WORDS, Phase, RunState, StageState, Watcher
from orchestrator.sweeps.progress import progress_lines
from orchestrator.sweeps.search import Search

_EVERY = 1.0
"""Seconds between updates; changes of state are shown at once."""
_MOST = 60
"""Maximum number of stages listed; if there are more, only running, failed and stopped ones are listed."""


class Shown:
    """The displayed object: HTML, and plain text for notebooks that do not render HTML."""

    def __init__(self, html: str, words: str) -> None:
        self._html, self._words = html, words

    def __repr__(self) -> str:
        return self._words

    def _repr_html_(self) -> str:
        return self._html


def watched_here() -> Watcher:
    """The default watcher of a run: in a notebook, it shows the run's table."""
    display = _display()
    if display is None:
        return lambda run: None
    output = _Output(display)
    return lambda run: output.show(run_marks(run), lambda: Shown(run_html(run), run_line(run)))


def sweep_watched_here(name: str) -> Callable[[Search | None, list[StageState]], None]:
    """The default watcher of a sweep: in a notebook, it shows the progress of the trials."""
    display = _display()
    if display is None:
        return lambda search, states: None
    output, began = _Output(display), time.monotonic()

    def watch(search: Search | None, states: list[StageState]) -> None:
        at = states[0].figure if search is None and states else ""
        marks = at if search is None else search.phase + " ".join(trial.state for trial in search.trials)
        output.show(marks, lambda: Shown(block(words := _sweep_words(name, search, at, began)), words))

    return watch


def _sweep_words(name: str, search: Search | None, at: str, began: float) -> str:
    passed = time.monotonic() - began
    if search is None:
        return f"{name}: {at or 'reading the store'}, {clock(passed)} so far"
    return "\n".join([f"{name}, run {search.run_id}", *progress_lines(search, passed)])


class _Output:
    """One output of a cell, updated in place."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None
        self._last, self._marks = 0.0, ""

    def show(self, marks: str, shown: Callable[[], Shown]) -> None:
        """Update the output: at once if `marks` have changed, otherwise at most every `_EVERY` seconds."""
        now = time.monotonic()
        if self._handle is None:
            self._handle = self._display(shown(), display_id=True)
        elif marks != self._marks or now - self._last >= _EVERY:
            self._handle.update(shown())
        else:
            return
        self._last, self._marks = now, marks


def run_marks(run: RunState) -> str:
    """The part of the state whose changes are shown at once."""
    phases = (run.setup.state, run.setup.figure, run.results.state, run.results.figure, str(run.run_id))
    return " ".join((*phases, *(state.shown for state in run.stages)))


def run_line(run: RunState) -> str:
    """A run's progress in one line."""
    running = ", ".join(f"{state.title} {state.told}" for state in run.stages if state.shown == "running")
    return f"{run.name}: {run.ended or run.setup.figure}" + (f"; running: {running}" if running else "")


def run_html(run: RunState) -> str:
    """A table with a row for each stage, for the setup before them and for the results after them."""
    states, rows = run.stages, [_phase(run.setup)]
    if len(states) > _MOST:
        states = [state for state in states if state.shown in ("running", "failed", "stopped")][:_MOST]
    for state in states:
        expected = state.expected_in_all
        told = state.figure if state.state == "failed" else state.told
        took = clock(state.elapsed) if state.elapsed else ""
        rows.append((state.title, WORDS[state.shown], told, took, "" if expected is None else f"~{clock(expected)}"))
    rows.append(_phase(run.results))
    passed = time.monotonic() - run.began
    left, all_known = run.left
    expected_in_all = f"{'~' if all_known else '>'}{clock(passed + left)}" if left else ""
    rows.append(("in all", "", run.ended, clock(passed), expected_in_all))
    about = [] if run.run_id is None else [f"{run.name}, run {run.run_id}"]
    about += [run.note] if run.note else []
    return paragraphs(about) + table(("stage", "state", "", "elapsed", "expected"), rows, ("elapsed", "expected"))


def _phase(phase: Phase) -> tuple[str, ...]:
    doing = phase.figure if phase.state in ("running", "failed", "stopped") else ""
    return phase.name, WORDS[phase.state], doing, clock(phase.elapsed) if phase.elapsed else "", ""


def _display() -> Callable[..., Any] | None:
    """The notebook's display function; None outside a notebook, as in a script or a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if ipython is None or not hasattr(shell, "kernel"):
        return None
    found: Callable[..., Any] = ipython.display.display
    return found
