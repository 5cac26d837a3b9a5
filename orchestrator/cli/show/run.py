"""The plan shown before a run, and the comparison shown at its end.

Names and errors come from users and models: they are shown literally, never interpreted as markup.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from orchestrator.cli.show.findings import headline
from orchestrator.cli.show.named_rows import NamedRows
from orchestrator.cli.show.parts import show_conclusions, show_remarks, show_way_to_logs
from orchestrator.cli.show.seeds import seeds_comparison
from orchestrator.commands.plan import needs
from orchestrator.comparison import how_tested, untold
from orchestrator.figures import clock, interval, p_value, questions_told
from orchestrator.plan.forecast import Forecast
from orchestrator.plan.plan import Plan, TrialsPlan, plans_of
from orchestrator.results import Difference, ModelResult, RunResult, SeedsResult
from orchestrator.text import plain


def show_result(console: Console, result: RunResult | SeedsResult, seconds: float, name: str | None = None) -> None:
    """Print the comparison, and where to look next. `name` is the recipe's; the run shown may be another recipe's."""
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
    show_way_to_logs(console, result.run_id, result.errors)
    console.print("Curves, data sets and every generation:  [bold]orch ui[/]", highlight=False)
    if result.report is not None:
        here = result.report if Path(result.report).is_file() else f"orch report {result.run_id} --open"
        console.print(Text.assemble("One page to pass around:  ", (plain(here), "bold")), soft_wrap=True)
    console.print(f"MLflow run {result.run_id}", style="dim", highlight=False)


def _comparisons(result: RunResult) -> Iterator[Group]:
    """The models side by side, on each split they were evaluated on."""
    stages = {s["name"]: s for s in result.stages}

    def took(*names: str) -> str:
        mine = [stages[name] for name in names if name in stages]
        seconds, reused = sum(s["seconds"] for s in mine), any(s["cached"] for s in mine)
        return "reused" if not seconds else f"{seconds:.1f}{' + reused' if reused else ''}"

    if result.models:
        both = {m.model: took(m.model, f"evaluate.{m.model}") for m in result.models}
        yield _comparison(result.models, result.differences, both, judged_by=result.judged_by)
    for also in result.also:
        took_here = {m.model: took(f"evaluate.{m.model}.{also.on}") for m in also.models}
        yield _comparison(also.models, also.differences, took_here, f" of {also.on}", result.judged_by)


def _comparison(
    models: Sequence[ModelResult],
    differences: Sequence[Difference],
    seconds: Mapping[str, str],
    of: str = "",
    judged_by: str = "",
) -> Group:
    against = {d.model: d for d in differences}
    name = differences[0].baseline if differences else ""
    shown = name if len(name) <= 20 else f"{name[:19]}…"
    table = NamedRows("model", ("accuracy", "answer\nrate", f"against\n{shown}", "p", "seconds"))
    best = max(m.accuracy for m in models)
    for m in models:
        d = against.get(m.model)
        accuracy = Text(f"{m.accuracy:.3f} ", style="bold green" if m.accuracy == best else "")
        table.add(
            m.model,
            accuracy.append(interval(m.accuracy_low, m.accuracy_high), style="not bold default"),
            f"{m.answer_rate:.3f}",
            Text(f"{d.difference:+.3f} {interval(d.low, d.high, sign=True)}" if d else ""),
            p_value(d.p) if d else "",
            seconds[m.model],
        )
    asked, drawn = questions_told(models[0].n, models[0].answers_each), models[0].answers_each > 1
    note = f"{asked}{of}, the same for every model; [95% intervals]\n{how_tested(len(differences), False, drawn)}"
    note += f"\njudged by: {plain(judged_by)}" if judged_by else ""
    return Group(table, Text(note, style="dim"))


_LEAST_NEEDED = ("key", "needs", "reads", "verb")
"""Columns of a plan that are left out, in this order, if names need the room."""


def show_plan(console: Console, plan: Plan | TrialsPlan, forecasts: Mapping[str, Forecast] | None = None) -> None:
    """Print the stages of a plan: inputs, resources, and whether cached; a stage that trials share is listed once.

    `forecasts`: by key, how long the stages to be run will take, if known.
    """
    known = forecasts or {}
    trials = plan.trials if isinstance(plan, TrialsPlan) else ()
    sharing = plan.sharing() if isinstance(plan, TrialsPlan) else {}
    first = plans_of(plan)[0]
    columns = (*(["trial"] if trials else []), "verb", "reads", "needs", "key", "state")
    table = NamedRows("stage", columns, left=columns)
    for stage in plan.stages:
        state = Text("cached", style="blue") if stage.cached else Text(f"to run {_expected(known.get(stage.key))}")
        reads = Text(plain(", ".join(stage.reads) or first.base.name))
        sharers = [trial.title for trial in sharing.get(stage.key, ())]
        trial = "all" if len(sharers) == len(trials) else sharers[0] if len(sharers) == 1 else f"{len(sharers)} trials"
        about = (stage.verb, reads, needs(stage), stage.key[:8], state)
        table.add(plain(stage.name), *([trial] if trials else []), *about)
    shown, left_out = _within(table, console.width)
    console.print(shown)
    if left_out:
        console.print(Text(f"a wider terminal also shows: {', '.join(left_out)}", style="dim"))
    judged_by = next(stage.judged_by for stage in plan.stages if stage.judged_by)
    why = first.tolerance
    console.print(Text(f"\njudged by: {plain(judged_by + (f'; {why}' if why else ''))}", style="dim"))
    if drawn := [f"{plain(s.name)} (run {s.drawn[:8]})" for s in plan.stages if s.drawn is not None]:
        console.print(Text(f"existing draws are judged again: {', '.join(drawn)}", style="dim"))
    to_run = sum(stage.cached is None for stage in plan.stages)
    console.print(
        f"\n{to_run} of {len(plan.stages)} stages to run" if to_run else "\nNothing to run: every stage is cached."
    )
    if to_run:
        console.print(Text(_forecast_note(to_run, list(known.values())), style="dim"))


def _within(table: NamedRows, width: int) -> tuple[NamedRows, list[str]]:
    """The table without the columns that do not fit, and their names; names and states of stages always remain."""
    for count in range(len(_LEAST_NEEDED) + 1):
        without = _LEAST_NEEDED[:count]
        fewer = table.without(*without)
        if fewer.fits(width):
            break
    return fewer, list(without)


def _expected(forecast: Forecast | None) -> str:
    if forecast is None:
        return "?"
    return clock(forecast.seconds) if forecast.how == "same" else f"~{clock(forecast.seconds)}"


def _forecast_note(to_run: int, known: Sequence[Forecast]) -> str:
    """The total time, the memory, and how reliable these estimates are."""
    if not known:
        return "No estimate: no comparable stage has run on this type of machine"
    memory = max((f.memory_mb for f in known if f.memory_mb is not None), default=None)
    largest = "" if memory is None else f", {memory / 1000:.1f} GB in the largest worker"
    lines = [f"About {clock(sum(f.seconds for f in known))}, one stage after another{largest}; from past runs here"]
    if any(f.how != "same" for f in known):
        lines.append("~ a guess: from stages of that kind with other settings")
    if len(known) < to_run:
        lines.append("? no estimate: no comparable stage has run on this type of machine; not included in the total")
    return "\n".join(lines)
