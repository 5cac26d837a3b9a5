"""The live table of a run, fitted to the width and height of the terminal.

Names and states are shown in full at any width. If there are more stages than lines, running and failed ones come
first, then the next to run and the last to end; the rest are counted. Errors of failed stages are shown below.
"""

import time
from collections.abc import Sequence
from textwrap import wrap

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.parts import counted, marked
from orchestrator.cli.show.seeds import trials_table
from orchestrator.figures import clock
from orchestrator.runs.state import Phase, RunState, StageState, State
from orchestrator.text import plain

_STATE, _TIME, _EXPECTED = 13, 7, 8
"""Widths of these columns in characters: `- interrupted`, `1:02:03`, `~1:02:03`."""
_TOLD, _MOST_TOLD = 22, 44
"""Minimum and maximum width of the progress column; long names are folded to leave it the minimum."""
_BAR, _LEAST_BAR = 16, 5
"""Maximum and minimum width of a progress bar."""
_AROUND = 4
"""Lines other than those of the stages: heading, set-up, results, total."""
_FAILED_LINES = 3
"""Maximum lines per failure while the run is in progress; at the end it is shown in full."""


def run_table(run: RunState, width: int, height: int | None, began: float, failures: bool = True) -> Group:
    """The table, fitted to `width` columns and `height` lines; None: as many lines as needed.

    `began`: the start of the run on the monotonic clock. `failures`: whether to show why stages failed.
    """
    why = _failures(run.stages, width, height) if failures else []
    why += [Text(line, style="yellow") for line in wrap(plain(run.note), max(20, width), break_on_hyphens=False)]
    room = None if height is None else height - _AROUND - len(why)
    several = any(state.trial for state in run.stages)
    columns = _widths(run.stages, width)
    if several:
        columns = _widths([], width)
        rows = _by_name(run.stages)
        shown = _chosen([_of_all(row) for row in rows.values()], [1] * len(rows), None if room is None else room - 4)
        names = [name for place, name in enumerate(rows) if place in shown]
        hidden = [state.shown for name, row in rows.items() if name not in names for state in row]
        middle: RenderableType = trials_table([s for s in run.stages if s.stage.name in names], width)
    else:
        lines = [-(-len(state.stage.name) // columns[0]) for state in run.stages]
        shown = _chosen([state.shown for state in run.stages], lines, room)
        hidden = [state.shown for place, state in enumerate(run.stages) if place not in shown]
        middle = _grid(columns, [_row(s, columns[2]) for place, s in enumerate(run.stages) if place in shown])
    top = _grid(columns, [_phase(run.setup)], head=not several)
    bottom = _grid(columns, [_phase(run.results), _in_all(run, began)])
    more = [Text.assemble((f"{len(hidden)} more: ", "dim"), counted(hidden))] if hidden else []
    for text in more:
        text.truncate(width, overflow="ellipsis")
    return Group(top, *([middle] if run.stages else []), *more, bottom, *why)


Row = tuple[Text, Text, Text, Text, Text]
"""Name, state, progress or outcome, elapsed time, expected time."""


def _widths(stages: Sequence[StageState], width: int) -> tuple[int, ...]:
    left = max(0, width - _STATE - _TIME - _EXPECTED - 2 * 4)
    longest = max([len(state.stage.name) for state in stages], default=0)
    name = min(max(longest, len("results")), max(8, left - _TOLD))
    return name, _STATE, max(1, min(_MOST_TOLD, left - name)), _TIME, _EXPECTED


def _grid(columns: Sequence[int], rows: Sequence[Row], head: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=head)
    for place, (title, width) in enumerate(zip(("stage", "state", "", "elapsed", "expected"), columns, strict=True)):
        table.add_column(
            title,
            width=width,
            justify="right" if place > 2 else "left",  # times
            no_wrap=place > 0,
            overflow="fold" if place == 0 else "ellipsis",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _row(state: StageState, room: int) -> Row:
    expected, running = state.expected_in_all, state.shown == "running"
    return (
        Text(plain(state.stage.name)),
        marked(state.shown),
        _told(state, room),
        Text(clock(state.elapsed) if state.elapsed else "", style="" if running else "dim"),
        Text("" if expected is None else f"~{clock(expected)}", style="dim"),
    )


def _told(state: StageState, room: int) -> Text:
    """The progress of a stage, with a bar and its key figure if there is room for them."""
    text = plain(" ".join(state.told.split()))
    if state.shown != "running" or not state.total:
        return Text(text, style="dim" if state.shown in ("waiting", "running") else "")
    wide = min(_BAR, room - len(text) - 1)
    if wide < _LEAST_BAR:
        return Text(text)
    filled = wide * min(state.done, state.total) // state.total
    told = Text.assemble(("━" * filled, "cyan"), ("─" * (wide - filled), "dim"), " ", text)
    figure = f"  {plain(state.figure)}" if state.figure else ""
    return told.append(figure, style="dim") if len(told) + len(figure) <= room else told


def _phase(phase: Phase) -> Row:
    took = clock(phase.elapsed) if phase.elapsed else ""
    doing = phase.figure if phase.state in ("running", "failed", "stopped") else ""
    return Text(phase.name), marked(phase.state), Text(plain(doing), style="dim"), Text(took, style="dim"), Text("")


def _in_all(run: RunState, began: float) -> Row:
    passed = time.monotonic() - began
    left, all_known = run.left
    expected = f"{'~' if all_known else '>'}{clock(passed + left)}" if left else ""
    return Text("in all", "bold"), Text(""), Text(run.ended), Text(clock(passed), "bold"), Text(expected)


def _by_name(states: Sequence[StageState]) -> dict[str, list[StageState]]:
    rows: dict[str, list[StageState]] = {}
    for state in states:
        rows.setdefault(state.stage.name, []).append(state)
    return rows


_FIRST: tuple[State, ...] = ("running", "failed", "stopped")


def _of_all(states: Sequence[StageState]) -> State:
    """The state by which the row of several trials is prioritized."""
    there = {state.shown for state in states}
    return next((state for state in (*_FIRST, "waiting") if state in there), "done")


def _chosen(states: Sequence[State], lines: Sequence[int], room: int | None) -> set[int]:
    """The indices of the rows that fit into `room` lines; one line is reserved for the count of the others."""
    if room is None or sum(lines) <= room:
        return set(range(len(states)))
    first = [place for place, state in enumerate(states) if state in _FIRST]
    first.sort(key=lambda place: _FIRST.index(states[place]))
    waiting = [place for place, state in enumerate(states) if state == "waiting"]
    ended = [place for place, state in enumerate(states) if state not in (*_FIRST, "waiting")][::-1]
    by_turns = sorted((turn, place) for some in (waiting, ended) for turn, place in enumerate(some))
    chosen, left = set(), room - 1
    for place in (*first, *(place for _, place in by_turns)):
        if lines[place] > left:
            break
        chosen.add(place)
        left -= lines[place]
    return chosen


def _failures(states: Sequence[StageState], width: int, height: int | None) -> list[Text]:
    """Why stages failed, wrapped to `width`; with a limited height, only the beginnings of the first errors."""
    alike: dict[tuple[str, str], list[StageState]] = {}
    for state in states:
        if state.state == "failed":
            alike.setdefault((state.stage.name, " ".join(state.figure.split())), []).append(state)
    lines = []
    for (name, why), of in alike.items():
        title = of[0].title if len(of) == 1 else f"{name} ({len(of)} times)"
        told = wrap(f"✗ {plain(title)}: {plain(why)}", max(20, width), break_on_hyphens=False)
        if height is not None and len(told) > _FAILED_LINES:
            told = [*told[: _FAILED_LINES - 1], f"{told[_FAILED_LINES - 1][: width - 2]} …"]
        lines += told
    most = len(lines) if height is None else max(2, height // 4)
    if len(lines) > most:
        lines = [*lines[: most - 1], "and more; all of it is shown at the end"]
    return [Text(line, style="red") for line in lines]
