"""A comparison as a person sees it, within 80 columns, and as rows for a spreadsheet.

Labels and findings come from recipes and stores: they are shown as they are, never read as markup.
"""

import csv
import io
from dataclasses import asdict, fields

from rich.console import Console
from rich.text import Text

from orchestrator.cli.show.named_rows import NamedRows
from orchestrator.cli.show.parts import show_conclusions
from orchestrator.comparison import ComparedModel, Comparison, ModelDifference, conclusions
from orchestrator.figures import interval, p_value
from orchestrator.text import plain


def show_comparison(console: Console, comparison: Comparison) -> None:
    """What it says in sentences, then the figures."""
    show_conclusions(console, conclusions(comparison))
    console.print(_figures(comparison))
    console.print()
    console.print(_counts(comparison))
    console.print(Text(_notes(comparison), style="dim"))


def as_csv(comparison: Comparison) -> str:
    """A row a model, its difference to its baseline beside it; empty where there is none."""
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
    table = NamedRows("model", ("accuracy", "answer\nrate", plain(title), "p"))
    best = max(m.accuracy for m in comparison.models)
    for m in comparison.models:
        d = against.get(m.label)
        accuracy = Text(f"{m.accuracy:.3f} ", style="bold green" if m.accuracy == best else "")
        accuracy.append(interval(m.accuracy_low, m.accuracy_high), style="not bold default")
        table.add(plain(m.label), accuracy, f"{m.answer_rate:.3f}", *_difference(d))
    return table


def _difference(d: ModelDifference | None) -> tuple[Text, Text]:
    if d is None:
        return Text(""), Text("")
    return Text(f"{d.difference:+.3f} {interval(d.low, d.high, sign=True)}"), Text(p_value(d.p_corrected))


def _counts(comparison: Comparison) -> NamedRows:
    """Wins and losses, seeds, tokens, cost; which baseline, where there are several."""
    against = {d.label: d for d in comparison.differences}
    several = len({d.baseline for d in comparison.differences}) > 1
    seeds = any(len(m.seeds) > 1 for m in comparison.models)
    own = [*(["against"] if several else []), *(["seeds", "sd over\nseeds"] if seeds else [])]
    counted = ("wins", "losses", "tokens per\nanswer", "seconds\nto make", "GPU\nhours")
    table = NamedRows("model", (*own, *counted), left=("against", "seeds"))
    for m in comparison.models:
        d = against.get(m.label)
        cells = [Text(_short(plain(d.baseline if d else "")))] if several else []
        if seeds:
            cells += [
                Text(_short(", ".join(map(str, m.seeds))) or "-"),
                Text("" if m.seed_sd is None else f"{m.seed_sd:.3f}"),
            ]
        wins, losses = (f"{d.wins:,}", f"{d.losses:,}") if d else ("", "")
        costs = (_number(m.tokens_per_answer, ".1f"), _number(m.seconds, ",.0f"), _number(m.gpu_hours, ".2f"))
        table.add(plain(m.label), *cells, wins, losses, *costs)
    return table


def _notes(comparison: Comparison) -> str:
    n = comparison.models[0].n
    lines = [f"{n:,} questions of {plain(comparison.on)}, the same for every model; [95% intervals]"]
    several = any(len(m.seeds) > 1 for m in comparison.models)
    test = "exact McNemar test" + (", with several seeds a t-test over seeds and questions" if several else "")
    several_tests = len(comparison.differences) > 1
    corrected = f", corrected for {len(comparison.differences)} comparisons (Holm)" if several_tests else ""
    lines.append(f"p: {test}{corrected}")
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
