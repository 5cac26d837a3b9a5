"""A comparison on the terminal, within 80 columns, and as CSV for a spreadsheet.

Labels and findings come from recipes and stores: they are shown literally, never interpreted as markup.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.show.named_rows import NamedRows
from orchestrator.cli.show.parts import show_conclusions, show_remarks
from orchestrator.comparison import ComparedModel, Comparison, ModelDifference, how_tested
from orchestrator.comparison.types import ComparedRuns
from orchestrator.figures import interval, p_value, questions_told
from orchestrator.text import plain


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print the conclusions, the figures, the differences between runs, the counts and costs, and the remarks."""
    show_conclusions(console, comparison.conclusions)
    console.print(_figures(comparison))
    console.print()
    if comparison.runs:
        console.print(_runs(comparison.runs))
        console.print()
    console.print(_counts(comparison))
    console.print(Text(_notes(comparison), style="dim"))
    show_remarks(console, comparison.remarks)


def as_csv(comparison: Comparison) -> str:
    """One row per model, with its difference from its baseline; those fields are empty if it has none."""
    columns = [*_MODEL, *_DIFFERENCE]
    against = {d.label: asdict(d) for d in comparison.differences}
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for model in comparison.models:
        row = asdict(model)
        row |= {name: " ".join(map(str, row[name])) for name in ("seeds", "run_ids", "by_seed")}
        writer.writerow(row | {name: against.get(model.label, {}).get(name) for name in _DIFFERENCE})
    return out.getvalue()


_MODEL = tuple(field.name for field in fields(ComparedModel))
_DIFFERENCE = tuple(field.name for field in fields(ModelDifference) if field.name not in ("label", "n"))


def _figures(comparison: Comparison) -> NamedRows:
    against = {d.label: d for d in comparison.differences}
    names = list(dict.fromkeys(d.baseline for d in comparison.differences))
    title = f"against\n{_short(names[0])}" if len(names) == 1 else "against\nits baseline"
    rate = [] if comparison.runs else ["answer\nrate"]  # with long labels, it moves to the table below
    table = NamedRows("model", ("accuracy", *rate, plain(title), "p"))
    best = max(m.accuracy for m in comparison.models)
    for place, m in enumerate(comparison.models, 1):
        d = against.get(m.label)
        accuracy = Text(f"{m.accuracy:.3f} ", style="bold green" if m.accuracy == best else "")
        accuracy.append(interval(m.accuracy_low, m.accuracy_high), style="not bold default")
        label = f"{place}. " if comparison.ranked else ""
        rates = [f"{m.answer_rate:.3f}" for _ in rate]
        table.add(f"{label}{plain(m.label)}", accuracy, *rates, *_difference(d))
    return table


def _runs(runs: Sequence[ComparedRuns]) -> Table:
    """The settings in which runs differ from the baseline's run."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold")
    several_seeds = len({one.seeds for one in runs}) > 1
    if several_seeds:
        table.add_column("seeds", overflow="fold")
    table.add_column(Text(f"settings that differ from {runs[0].run_ids[0][:8]}"), overflow="fold")
    for one in runs:
        told = [str(change) for change in one.changes]
        more = [f"{len(told) - _MOST_CHANGES} more settings"] if len(told) > _MOST_CHANGES else []
        ids = ", ".join(run_id[:8] for run_id in one.run_ids)
        cells = [", ".join(map(str, one.seeds))] if several_seeds else []
        table.add_row(ids, *cells, Text(plain(", ".join([*told[:_MOST_CHANGES], *more]) or "-")))
    return table


_MOST_CHANGES = 6
"""Maximum number of settings listed per run."""


def _difference(d: ModelDifference | None) -> tuple[Text, Text]:
    if d is None:
        return Text(""), Text("")
    return Text(f"{d.difference:+.3f} {interval(d.low, d.high, sign=True)}"), Text(p_value(d.p_corrected))


def _counts(comparison: Comparison) -> NamedRows:
    """Wins and losses, seeds, tokens and cost; also the baseline, if there are several."""
    against = {d.label: d for d in comparison.differences}
    several = len({d.baseline for d in comparison.differences}) > 1
    seeds = any(len(m.seeds) > 1 for m in comparison.models)
    own = [*(["against"] if several else []), *(["seeds", "sd over\nseeds"] if seeds else [])]
    rate = ["answer\nrate"] if comparison.runs else []
    counted = (*rate, "wins", "losses", "tokens per\nanswer", "seconds\nto make", "GPU\nhours")
    table = NamedRows("model", (*own, *counted), left=("against", "seeds"))
    for place, m in enumerate(comparison.models, 1):
        d = against.get(m.label)
        label = f"{place}. {m.model}" if comparison.ranked else m.label
        cells = [Text(_short(plain(d.baseline if d else "")))] if several else []
        if seeds:
            cells += [
                Text(_short(", ".join(map(str, m.seeds))) or "-"),
                Text("" if m.seed_sd is None else f"{m.seed_sd:.3f}"),
            ]
        cells += [Text(f"{m.answer_rate:.3f}") for _ in rate]
        wins, losses = (f"{d.wins:,}", f"{d.losses:,}") if d else ("", "")
        costs = (_number(m.tokens_per_answer, ".1f"), _number(m.seconds, ",.0f"), _number(m.gpu_hours, ".2f"))
        table.add(plain(label), *cells, wins, losses, *costs)
    return table


def _notes(comparison: Comparison) -> str:
    asked = questions_told(comparison.models[0].n, comparison.models[0].answers_each)
    lines = [f"{asked} of {plain(comparison.on)}, the same for every model; [95% intervals]"]
    several = any(len(m.seeds) > 1 for m in comparison.models)
    lines.append(how_tested(len(comparison.differences), several, comparison.drawn))
    if comparison.judged_by:
        lines.append(f"judged by: {plain(comparison.judged_by)}")
    lines.append(
        "seconds to make: the model's own stage and all stages it builds on" + (", per seed" if several else "")
    )
    return "\n".join(lines)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def _short(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:19]}…"
