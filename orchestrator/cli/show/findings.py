"""Findings and training rows on the terminal. Text from users and models is shown literally, never as markup."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orchestrator.figures import interval
from orchestrator.text import plain
from orchestrator.types import Finding

if TYPE_CHECKING:  # every command shows findings, but few should wait for these imports
    from orchestrator.commands.ask import Asked
    from orchestrator.health.diagnosis import Diagnosis
    from orchestrator.health.token_view import TokenView

_LOOK = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("·", "dim")}


def headline(finding: Finding) -> Text:
    """One line: the mark, the check, and what it found."""
    mark, style = _LOOK[finding.severity]
    return Text.assemble((f"{mark} {finding.check}", style), ": ", plain(finding.what))


def show_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print each finding with its evidence, its likely cause and what to do."""
    for finding in findings:
        console.print(headline(finding), soft_wrap=False)
        details = Table.grid(padding=(0, 2, 0, 0))
        for title, text in (("seen", finding.evidence), ("cause", finding.cause), ("do", finding.remedy)):
            if text:
                details.add_row(Text(title, style="dim"), Text(plain(text)))
        console.print(Padding(details, (0, 0, 1, 4)))


def show_rows(console: Console, rows: "Sequence[TokenView]") -> None:
    """Print training rows in color: green tokens are learned, gray ones are only read."""
    for number, row in enumerate(rows, 1):
        text = Text()
        for piece, learned in row.pieces:
            text.append(plain(piece), style="bold green" if learned else "dim")
        title = f"{row.stage}, row {number}: {row.trained} of {len(row.pieces)} tokens are trained on (green)"
        console.print(Panel(Group(text), title=Text(title), title_align="left", border_style="dim"))


def show_diagnosis(console: Console, diagnosis: "Diagnosis") -> None:
    """Print texts of the model in question, the models, the findings ranked by likelihood, and the likeliest cause."""
    for generation in [one for one in diagnosis.generations if one.model == diagnosis.in_question][:4]:
        lines = [("asked", generation.prompt), ("wrote", generation.text), ("parsed", str(generation.parsed))]
        lines += [("wanted", f"{generation.expected}  ({generation.status})")]
        body = Text("\n").join(Text.assemble((f"{title:<7}", "dim"), plain(text)) for title, text in lines)
        console.print(Panel(body, title=Text(generation.model), title_align="left", border_style="dim"))
    for model in diagnosis.models:
        ends = interval(model.accuracy_low, model.accuracy_high)
        figures = f"accuracy {model.accuracy:.3f} {ends}, answer rate {model.answer_rate:.3f}, n = {model.n:,}"
        console.print(Text.assemble((model.model, "bold"), f": {figures}"), Text(f"({model.source})", style="dim"))
    console.print()
    show_findings(console, diagnosis.findings)
    show_summary(console, diagnosis.findings, diagnosis.subject)
    likely = next((f for f in diagnosis.findings if f.severity == "error"), None)
    if likely is not None:
        console.print(Text.assemble(("most likely cause", "bold"), f": {plain(likely.cause)}"))
        console.print(Text.assemble(("what to do", "bold"), f": {plain(likely.remedy)}"))


def show_metrics(console: Console, metrics: Mapping[str, float], how: str) -> None:
    """Print the figures of judged completions, and how they were judged."""
    console.print(Text(how, style="dim"))
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    console.print(f"accuracy     {metrics['accuracy']:.3f} {interval(low, high)}", highlight=False, markup=False)
    console.print(f"answer rate  {metrics['answer_rate']:.3f}", highlight=False)
    console.print(f"n            {int(metrics['n']):,}", highlight=False)
    for name, number in metrics.items():
        if name.startswith("status/"):
            console.print(f"{name.removeprefix('status/'):<11}  {int(number):,}", highlight=False)


def show_asked(console: Console, asked: "Asked") -> None:
    """Print prompt, text and parsed answer, each exactly as it is."""
    for title, text in (("prompt", asked.prompt), ("written", asked.text)):
        console.print(Panel(Text(plain(text)), title=title, title_align="left", border_style="dim"))
    value = asked.value if asked.value is not None else "nothing"
    tail = f"model {asked.model}, {asked.n_tokens} tokens, finished by {asked.finish_reason}"
    console.print(Text.assemble("parsed: ", (plain(value), "bold"), (f"  ({tail})", "dim")))
    for note in asked.notes:
        console.print(Text.assemble(("! ", "yellow"), plain(note)), soft_wrap=True)


def show_written(console: Console, what: str, file: Path) -> None:
    """Print the path of a file that was written."""
    console.print(Text.assemble((f"{what}: ", "dim"), plain(str(file))), soft_wrap=True)


def show_summary(console: Console, findings: Sequence[Finding], subject: str) -> None:
    """Print the last line: the number of errors and warnings."""
    errors = sum(f.severity == "error" for f in findings)
    warnings = sum(f.severity == "warning" for f in findings)
    words = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    style = "bold red" if errors else "yellow" if warnings else "green"
    console.print(Text.assemble((words, style), f"  {subject}"))


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"
