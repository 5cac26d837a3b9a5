"""A run in Markdown, for its page in MLflow: the conclusion, the table, links to its stages. Touches no store."""

from collections.abc import Sequence

from orchestrator.comparison import how_tested, untold
from orchestrator.figures import p_equals
from orchestrator.results import Difference, ModelResult, RunResult, SeedsResult
from orchestrator.store.pages import run_link, view_link
from orchestrator.text import inline


def describe(found: RunResult, experiment_id: str) -> str:
    """The comparison, conclusion first, with links to each model's run, the chart, the report and the stages."""
    runs = {row["name"]: row["run_id"] for row in found.stages if row["run_id"]}
    pages = {name: run_link(experiment_id, run_id) for name, run_id in runs.items()}
    lines = [*paragraphs(found.conclusions), *_table(found.models, found.differences, pages, "evaluate.{}")]
    lines += ["", *paragraphs([*_how(found), *found.remarks])]
    said = [*found.conclusions, *found.remarks]
    for evaluation in found.also:
        lines += ["", f"On `{evaluation.on}`:", "", *paragraphs(evaluation.conclusions)]
        lines += _table(evaluation.models, evaluation.differences, pages, f"evaluate.{{}}.{evaluation.on}")
        lines += ["", *paragraphs([text for text in evaluation.remarks if text not in said])]
    noticed = findings(found)
    stages = [f"[{name}]({page})" for name, page in pages.items() if not name.startswith("evaluate.")]
    ways = [ways_on(experiment_id, found.run_id), f"Stages: {', '.join(stages)}" if stages else ""]
    return "\n".join([*lines, *(line for way in ways for line in (way, "")), *paragraphs(found.errors), *noticed])


def _how(found: RunResult) -> list[str]:
    """How the answers were judged and the differences tested."""
    judged = [f"judged by: {found.judged_by}"] if found.judged_by else []
    if found.differences:
        judged.append(how_tested(len(found.differences), False, found.models[0].answers_each > 1))
    return judged


def findings(found: RunResult | SeedsResult) -> list[str]:
    """Findings that the conclusions do not mention, as a Markdown list."""
    news = untold(found.findings, found.conclusions, bool(found.differences))
    return [f"- {finding.severity}: {inline(finding.what)}" for finding in news]


def ways_on(experiment_id: str, run_id: str) -> str:
    """Links to the chart of the experiment's newest models and to the run's report."""
    report = run_link(experiment_id, run_id, "report.html")
    return f"[Chart of the newest models]({view_link(experiment_id)}) · [Report]({report})"


def paragraphs(sentences: Sequence[str]) -> list[str]:
    """Plain sentences as lines of Markdown, with special characters escaped."""
    return [line for sentence in sentences for line in (inline(sentence), "")]


def _table(
    models: tuple[ModelResult, ...], differences: tuple[Difference, ...], pages: dict[str, str], stage: str
) -> list[str]:
    """The lines of one table; `stage` is a format string for the name of the stage that evaluated a model."""
    against = {d.model: d for d in differences}
    lines = ["| model | accuracy | 95% interval | answer rate | difference | n |", "|---|---|---|---|---|---|"]
    for m in models:
        d, page = against.get(m.model), pages.get(stage.format(m.model))
        gap = f"{d.difference:+.3f} to {d.baseline} ({p_equals(d.p)})" if d else ""
        lines.append(
            f"| {f'[{m.model}]({page})' if page else m.model} | {m.accuracy:.3f} "
            f"| {m.accuracy_low:.3f} to {m.accuracy_high:.3f} | {m.answer_rate:.3f} | {gap} | {m.n} |"
        )
    return lines


def model_note(model: ModelResult, judged_by: str, chart: str, report: str) -> str:
    """One model's run in a line of Markdown, with links to the comparison."""
    return (
        f"**{model.model}**: accuracy {model.accuracy:.3f} (95% interval {model.accuracy_low:.3f} to "
        f"{model.accuracy_high:.3f}), answer rate {model.answer_rate:.3f}, n = {model.n}; "
        f"judged by: {inline(judged_by)}. [Compared with the others]({chart}) · [Report]({report})"
    )
