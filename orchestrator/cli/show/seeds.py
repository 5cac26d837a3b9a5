"""Several trials on the terminal: a column for each while they run; for seeds, means and intervals at the end."""

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.named_rows import NamedRows
from orchestrator.cli.show.parts import LOOK, counted
from orchestrator.comparison import how_tested
from orchestrator.figures import clock, interval, p_value, questions_told
from orchestrator.results import DifferenceOverSeeds, ModelOverSeeds, SeedsResult
from orchestrator.runs.state import WORDS, StageState
from orchestrator.text import plain

_WIDE = 14
"""Characters that a column needs to show more than a mark and the progress in percent."""
_NARROW = 5
"""Characters that it needs for those; with less room, trials are counted instead."""


def trials_table(states: Sequence[StageState], width: int) -> Table:
    """A row for each stage, and a column for each trial; if they do not fit, one column with counts by state."""
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
            table.add_row(Text(name), counted([by_place[name, trial].shown for trial in trials]))
        return table
    for trial in trials:
        title = Text(trial.removeprefix("seed ") if narrow else trial)
        table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=min(room, _WIDE), max_width=room)
    for name in names:
        table.add_row(Text(name), *(_cell(by_place[name, trial], room >= _WIDE) for trial in trials))
    if room < _WIDE:  # marks without words need a legend
        there = {state.shown for state in states}
        marks = [f"{mark}\u00a0{WORDS[state]}" for state, (mark, _) in LOOK.items() if state in there]
        table.caption, table.caption_justify, table.caption_style = "  ".join(marks), "left", "dim"
    return table


def _cell(state: StageState, wide: bool) -> Text:
    mark, style = LOOK[state.shown]
    told = ""
    if state.shown == "running":
        far = f"{100 * state.done // state.total}%" if state.total and state.done else ""
        spent = clock(state.elapsed) if wide else ""
        told = " ".join(part for part in (far, spent) if part)
    elif wide:
        told = state.told if state.shown in ("done", "cached", "skipped") and state.told else WORDS[state.shown]
    return Text(f"{mark} {plain(told)}", style=style if state.state != "done" else "")


def seeds_comparison(result: SeedsResult) -> Iterator[Group]:
    """The models side by side, on each split they were evaluated on."""
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
    table = NamedRows("model", ("mean accuracy", "sd", "answer\nrate", f"against\n{shown}", "p"))
    best = max(m.accuracy_mean for m in models)
    for m in models:
        d = against.get(m.model)
        accuracy = Text(f"{m.accuracy_mean:.3f}", style="bold green" if m.accuracy_mean == best else "")
        table.add(
            m.model,
            accuracy.append(" " + interval(m.accuracy_low, m.accuracy_high), style="not bold default"),
            "" if m.accuracy_sd is None else f"{m.accuracy_sd:.3f}",
            f"{m.answer_rate_mean:.3f}",
            Text(f"{d.difference_mean:+.3f} {interval(d.difference_low, d.difference_high, sign=True)}" if d else ""),
            p_value(d.p) if d else "",
        )
    asked = questions_told(models[0].n, models[0].answers_each)
    notes = [
        f"{_listed(result.seeds)}; {asked}{of}, the same for all models; sd: across seeds",
        "[95% intervals for further seeds and questions]",
        how_tested(len(differences), True, models[0].answers_each > 1),
    ]
    notes += [f"{m.model}: the same with every seed" for m in models if m.shared]
    notes += [f"{m.model}: {_listed(m.seeds)} only" for m in models if set(m.seeds) != set(result.seeds)]
    notes += [f"judged by: {plain(result.judged_by)}"] if result.judged_by else []
    return Group(table, *(Text(note, style="dim") for note in notes))


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
