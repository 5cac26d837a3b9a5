"""What a person sees: a live table while a run is going on, plain lines without a terminal, the comparison at the end.

Names and errors come from the user and from models: they are shown as they are, never read as markup.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.findings import headline
from orchestrator.cli.show.parts import LOOK, clock, show_conclusions, show_remarks
from orchestrator.cli.show.seeds import seeds_comparison, trials_table
from orchestrator.commands.plan import needs
from orchestrator.comparison import how_tested, untold
from orchestrator.figures import interval, p_value
from orchestrator.plan.forecast import Forecast
from orchestrator.plan.plan import Plan, TrialsPlan, plans_of
from orchestrator.results import Difference, ModelResult, RunResult, SeedsResult
from orchestrator.runs.state import StageState
from orchestrator.text import plain


class RunScreen:
    """Shows the states of a run's stages as they change."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._states: list[StageState] = []
        self._told: dict[str, str] = {}
        self._noticed: dict[str, int] = {}
        """For each stage, by its title: what was told of it last, and how many of its findings."""

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Live for the time of a run; on a terminal only."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self.console, refresh_per_second=4) as self._live:
            yield
            self._live.refresh()

    def __call__(self, states: list[StageState]) -> None:
        """Take in what has changed."""
        self._states = states
        for state in states:
            for finding in state.findings[self._noticed.get(state.title, 0) :]:
                self.console.print(headline(finding), soft_wrap=not self.console.is_terminal)
            self._noticed[state.title] = len(state.findings)
        if self._live is None:
            for state in states:
                self._tell(state)

    def _tell(self, state: StageState) -> None:
        """One line, with the time of day, when a stage changes state, and for every further quarter of a long one."""
        name, width = state.title, max(18, *(len(each.title) for each in self._states))
        quarter = 4 * state.done // state.total if state.state == "running" and state.total > 1 else 0
        mark = f"{state.state} {quarter}"
        if state.state == "waiting" or self._told.get(name) == mark or (state.state == "running" and quarter == 4):
            return
        self._told[name] = mark
        progress = f" {100 * state.done // state.total}%" if quarter else ""
        took = f" in {clock(state.seconds)}" if state.state == "done" else ""
        figure = f"  {state.figure}" if state.figure and state.figure != state.state else ""
        line = plain(f"{name:<{width}} {state.state}{progress}{took}{figure}")
        self.console.print(Text(f"{time.strftime('%H:%M:%S')}  {line}"), soft_wrap=True)

    def _table(self) -> Table | Text:
        if not self._states:  # all of it is reused
            return Text()
        if any(state.trial for state in self._states):
            return trials_table(self._states, self.console.width)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("stage", no_wrap=True)
        table.add_column("state", no_wrap=True, min_width=9)
        table.add_column("progress", no_wrap=True, min_width=18)
        table.add_column("time", justify="right", no_wrap=True, min_width=6)
        table.add_column("", overflow="ellipsis", no_wrap=True)
        for state in self._states:
            mark, style = LOOK[state.state]
            table.add_row(
                Text(state.stage.name),
                Text(f"{mark} {state.state}", style=style),
                _progress(state),
                _time(state),
                Text(plain(state.figure), style="red" if state.state == "failed" else ""),
            )
        return table


def _progress(state: StageState) -> ProgressBar | Text:
    if state.state != "running":
        return Text("")
    if state.total <= 1:
        return Text("starting" if not state.done else "", style="dim")
    return ProgressBar(total=state.total, completed=state.done, width=18)


def _time(state: StageState) -> Text:
    if state.state == "running" and state.started is not None:
        return Text(clock(time.monotonic() - state.started))
    return Text(clock(state.seconds) if state.seconds else "", style="dim")


def show_result(console: Console, result: RunResult | SeedsResult, seconds: float, name: str | None = None) -> None:
    """The comparison, and where to look next. `name` is the recipe's: what is shown may be of a run of another."""
    console.print()
    tables = seeds_comparison(result) if isinstance(result, SeedsResult) else _comparisons(result)
    said: list[str] = []
    for one, table in zip((one for one in (result, *result.also) if one.models), tables, strict=True):
        if one is not result:
            console.print()
        show_conclusions(console, one.conclusions)
        console.print(table)
        show_remarks(console, [text for text in one.remarks if text not in said])
        said += [*one.conclusions, *one.remarks]
    for finding in untold(result.findings, said, bool(result.differences)):
        console.print(headline(finding), soft_wrap=not console.is_terminal)
    for error in result.errors:
        console.print(Text(plain(error), style="bold red"), soft_wrap=not console.is_terminal)
    cached = sum(s["cached"] for s in result.stages)
    done = sum(s["state"] == "done" for s in result.stages)
    console.print()
    reused = f"{cached} of {len(result.stages)} stages reused, " if cached else ""
    console.print(Text(plain(result.experiment), style="bold"), end="", soft_wrap=True)
    console.print(f": {reused}{done} run, {clock(seconds)} in all")
    if name not in (None, result.experiment):
        console.print(Text(plain(f"All stages were already cached in experiment {name!r}."), style="dim"))
    console.print("Curves, data sets and every generation:  [bold]orch ui[/]", highlight=False)
    if result.report is not None:
        here = result.report if Path(result.report).is_file() else f"orch report {result.run_id} --open"
        console.print(Text.assemble("One page to pass around:  ", (plain(here), "bold")), soft_wrap=True)
    console.print(f"MLflow run {result.run_id}", style="dim", highlight=False)


def _comparisons(result: RunResult) -> Iterator[Group]:
    """The models side by side, on each split they were asked."""
    took = {s["name"]: s["seconds"] for s in result.stages}
    if result.models:
        both = {m.model: took.get(m.model, 0.0) + took.get(f"evaluate.{m.model}", 0.0) for m in result.models}
        yield _comparison(result.models, result.differences, both, judged_by=result.judged_by)
    for also in result.also:
        took_here = {m.model: took.get(f"evaluate.{m.model}.{also.on}", 0.0) for m in also.models}
        yield _comparison(also.models, also.differences, took_here, f" of {also.on}", result.judged_by)


def _comparison(
    models: Sequence[ModelResult],
    differences: Sequence[Difference],
    seconds: Mapping[str, float],
    of: str = "",
    judged_by: str = "",
) -> Group:
    against = {d.model: d for d in differences}
    name = differences[0].baseline if differences else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", overflow="fold")  # where there is no room, a name is folded; no figure is ever cut
    shown = name if len(name) <= 20 else f"{name[:19]}…"
    for title in ("accuracy", "answer\nrate", f"against\n{shown}", "p", "seconds"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    best = max(m.accuracy for m in models)
    for m in models:
        d = against.get(m.model)
        accuracy = Text(f"{m.accuracy:.3f} ", style="bold green" if m.accuracy == best else "")
        table.add_row(
            Text(m.model),
            accuracy.append(interval(m.accuracy_low, m.accuracy_high), style="not bold default"),
            f"{m.answer_rate:.3f}",
            Text(f"{d.difference:+.3f} {interval(d.low, d.high, sign=True)}" if d else ""),
            p_value(d.p) if d else "",
            f"{seconds[m.model]:.1f}" if seconds[m.model] else "reused",
        )
    n = models[0].n
    note = f"{n:,} questions{of}, the same for every model; [95% intervals]\n{how_tested(len(differences), False)}"
    note += f"\njudged by: {plain(judged_by)}" if judged_by else ""
    return Group(table, Text(note, style="dim"))


def show_plan(console: Console, plan: Plan | TrialsPlan, forecasts: Mapping[str, Forecast] | None = None) -> None:
    """The stages of a plan: what each reads, needs, and whether it is cached; a stage that trials share is listed once.

    `forecasts`: by key, what is known of how long those to be run will take.
    """
    known = forecasts or {}
    trials = plan.trials if isinstance(plan, TrialsPlan) else ()
    sharing = plan.sharing() if isinstance(plan, TrialsPlan) else {}
    first = plans_of(plan)[0]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in (*(["trial"] if trials else []), "stage", "verb", "reads", "needs", "key", "state"):
        table.add_column(title, no_wrap=title not in ("stage", "reads"), overflow="fold")
    for stage in plan.stages:
        state = Text("cached", style="blue") if stage.cached else Text(f"to run {_expected(known.get(stage.key))}")
        reads = Text(", ".join(stage.inputs) or first.base.name)
        sharers = [trial.title for trial in sharing.get(stage.key, ())]
        trial = "all" if len(sharers) == len(trials) else sharers[0] if len(sharers) == 1 else f"{len(sharers)} trials"
        table.add_row(
            *([Text(trial)] if trials else []), Text(stage.name), stage.verb, reads, needs(stage), stage.key[:8], state
        )
    console.print(table)
    judged_by = next(stage.judged_by for stage in plan.stages if stage.judged_by)
    why = first.tolerance
    console.print(Text(f"\njudged by: {plain(judged_by + (f'; {why}' if why else ''))}", style="dim"))
    to_run = sum(stage.cached is None for stage in plan.stages)
    console.print(
        f"\n{to_run} of {len(plan.stages)} stages to run" if to_run else "\nNothing to run: every stage is cached."
    )
    if to_run:
        console.print(Text(_forecast_note(to_run, list(known.values())), style="dim"))


def _expected(forecast: Forecast | None) -> str:
    if forecast is None:
        return "?"
    return clock(forecast.seconds) if forecast.how == "same" else f"~{clock(forecast.seconds)}"


def _forecast_note(to_run: int, known: Sequence[Forecast]) -> str:
    """How long it takes in all, how much memory, and how sure that is."""
    if not known:
        return "No estimate: no comparable stage has run on this type of machine"
    memory = max((f.memory_mb for f in known if f.memory_mb is not None), default=None)
    largest = "" if memory is None else f", {memory / 1000:.1f} GB in the largest worker"
    lines = [f"About {clock(sum(f.seconds for f in known))}, one stage after another{largest}; from past runs here"]
    if any(f.how != "same" for f in known):
        lines.append("~ a guess: from stages of that kind with other settings")
    if len(known) < to_run:
        lines.append("? no estimate: no comparable stage has run on this type of machine; it is not in the sum")
    return "\n".join(lines)
