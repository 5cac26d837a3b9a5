"""Several trials as a person sees them: a column for each while they run; of seeds means and intervals at the end."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.parts import LOOK, clock
from orchestrator.comparison import how_tested
from orchestrator.figures import interval, p_value
from orchestrator.results import DifferenceOverSeeds, ModelOverSeeds, SeedsResult
from orchestrator.runs.state import StageState
from orchestrator.text import plain

_WIDE = 14
"""Characters that a column needs to show more than a mark and how far a stage is."""
_NARROW = 5
"""Characters that it needs for these; where there is less room, seeds are counted."""


def trials_table(states: Sequence[StageState], width: int) -> Table:
    """A row for each stage, a column for each trial; where there are too many, how many are in which state."""
    trials = list(dict.fromkeys(state.trial for state in states))
    names = list(dict.fromkeys(state.stage.name for state in states))
    by_place = {(state.stage.name, state.trial): state for state in states}
    room = (width - max(map(len, names)) - 2) // len(trials) - 2
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    narrow = all(trial.startswith("seed ") for trial in trials) and _NARROW <= room < _WIDE
    table.add_column("stage / seed" if narrow else "stage", no_wrap=True)
    if room < _NARROW:
        what = "seeds" if all(trial.startswith("seed ") for trial in trials) else "trials"
        table.add_column(f"{len(trials)} {what}", no_wrap=True, overflow="ellipsis")
        for name in names:
            table.add_row(Text(name), _counted([by_place[name, trial] for trial in trials]))
        return table
    for trial in trials:
        title = Text(trial.removeprefix("seed ") if narrow else trial)
        table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=min(room, _WIDE), max_width=room)
    for name in names:
        table.add_row(Text(name), *(_cell(by_place[name, trial], room >= _WIDE) for trial in trials))
    return table


def _cell(state: StageState, wide: bool) -> Text:
    mark, style = LOOK[state.state]
    told = ""
    if state.state == "running":
        far = f"{100 * state.done // state.total}%" if state.total > 1 and state.done else ""
        spent = clock(time.monotonic() - state.started) if state.started is not None and wide else ""
        told = " ".join(part for part in (far, spent) if part)
    elif wide:
        told = state.figure
    return Text(f"{mark} {plain(told)}", style=style if state.state != "done" else "")


def _counted(states: Sequence[StageState]) -> Text:
    """`3 done, 1 running, 16 waiting`."""
    counts = Counter(state.state for state in states)
    parts = [(f"{counts[name]} {name}", style) for name, (_, style) in LOOK.items() if counts[name]]
    return Text(", ").join(Text(text, style=style) for text, style in parts)


def seeds_comparison(result: SeedsResult) -> Iterator[Group]:
    """The models side by side, on each split they were asked."""
    if result.models:
        yield _comparison(result, result.models, result.differences)
    for also in result.also:
        yield _comparison(result, also.models, also.differences, f" of {also.on}")


def _comparison(
    result: SeedsResult,
    models: Sequence[ModelOverSeeds],
    differences: Sequence[DifferenceOverSeeds],
    of: str = "",
) -> Group:
    against = {d.model: d for d in differences}
    name = differences[0].baseline if differences else ""
    shown = name if len(name) <= 20 else f"{name[:19]}…"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", overflow="fold")
    for title in ("mean accuracy", "sd", "answer\nrate", f"against\n{shown}", "p"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    best = max(m.accuracy_mean for m in models)
    for m in models:
        d = against.get(m.model)
        accuracy = Text(f"{m.accuracy_mean:.3f}", style="bold green" if m.accuracy_mean == best else "")
        table.add_row(
            Text(m.model),
            accuracy.append(" " + interval(m.accuracy_low, m.accuracy_high), style="not bold default"),
            "" if m.accuracy_sd is None else f"{m.accuracy_sd:.3f}",
            f"{m.answer_rate_mean:.3f}",
            Text(f"{d.difference_mean:+.3f} {interval(d.difference_low, d.difference_high, sign=True)}" if d else ""),
            p_value(d.p) if d else "",
        )
    notes = [
        f"{_listed(result.seeds)}; {models[0].n:,} questions{of}, the same for all models; sd: of the seeds",
        "[95% intervals for further seeds and questions]",
        how_tested(len(differences), True),
    ]
    notes += [f"{m.model}: the same with every seed" for m in models if m.shared]
    notes += [f"{m.model}: {_listed(m.seeds)} only" for m in models if set(m.seeds) != set(result.seeds)]
    notes += [f"judged by: {plain(result.judged_by)}"] if result.judged_by else []
    return Group(table, *(Text(note, style="dim") for note in notes))


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
