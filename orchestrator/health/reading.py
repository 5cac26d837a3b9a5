"""Completions whose answer is misread: another question follows it, or its comma is a decimal comma.

Needs no model; runs after an evaluation. Must not know how the texts were generated.
"""

from collections.abc import Iterator, Sequence

from orchestrator.answers.judges.numeric import NumericJudge
from orchestrator.answers.numbers import looks_decimal_comma
from orchestrator.health.written import Written
from orchestrator.tasks import Task
from orchestrator.types import Finding

_NOTABLE = 0.1
"""Share of completions above which they are worth a finding."""


def reading_findings(model: str, rows: Sequence[Written], task: Task, trained: bool) -> Iterator[Finding]:
    """Symptoms in a model's completions that the answer format and the judge miss; `trained`: not the base model."""
    if task.format.guarded:  # a pattern may take forever
        return
    on = [row for row in rows if task.format.runs_on(row.text)]
    if len(on) > _NOTABLE * len(rows):
        wrong = sum(row.status == "wrong" for row in on)
        yield Finding(
            "runs-on-after-answer",
            "warning" if trained else "info",
            f"model {model}: {len(on):,} of {len(rows):,} completions continue with another question after their "
            "answer",
            f"{wrong:,} of them are judged wrong; take: {task.format.take}\n"
            + "\n".join(f"...{row.text[-160:]!r}" for row in on[:2]),
            "the model does not end its text after an answer, so the answer that is read may belong to a question it "
            "made up",
            "end generation there with task.format.stop, or set task.format.take: first; `orch rejudge` judges stored "
            "completions again",
        )
    if isinstance(task.judge, NumericJudge) and not task.judge.decimal_comma:
        comma = [(row, said) for row in rows if (said := task.format.extract(row.text)) and looks_decimal_comma(said)]
        if len(comma) > _NOTABLE * len(rows):
            yield Finding(
                "decimal-commas",
                "warning",
                f"model {model}: {len(comma):,} of {len(rows):,} answers look like numbers with decimal commas",
                "\n".join(f"{said!r}, expected {row.gold!r}" for row, said in comma[:3]),
                "the model writes numbers the European way, 12,5 for 12.5; they count as not parsed",
                "set task.judge.decimal_comma: true if gold answers have them too, else ask for a decimal point",
            )
