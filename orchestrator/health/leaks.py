"""Questions that give away their own answer."""

from collections.abc import Iterator

from orchestrator.answers.judges.exact import ExactJudge
from orchestrator.tasks import Task
from orchestrator.tasks.file import FileTask
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Example, Finding

_LONG = 8
"""Number of characters from which a worked solution found in a question is no accident."""
_MANY = 0.2
"""Share of questions from which it is an error: a few may mention an answer that happens to be theirs."""
_TRIED = 20
"""Number of gold answers used to test whether a format reads text without any mark."""


def leaks(task: Task) -> Iterator[Finding]:
    """A finding for each split whose questions contain the marked answer, or the whole solution."""
    for split in task.splits():
        examples = task.examples(split)
        read = _read(task, examples)
        told = [e for e, right in zip(examples, read, strict=True) if right or _solved(e)]
        if told:
            yield Finding(
                "answer-in-prompt",
                "error" if len(told) >= _MANY * len(examples) else "warning",
                f"{task.where(split)}: {len(told):,} of {len(examples):,} questions contain their own answer",
                "\n".join(f"{e.question[-160:]!r} (gold {e.answer!r})" for e in told[:3]),
                "the question column also contains the solution, so the model learns to copy it and fails without it",
                "set columns.question to a column with only the question",
            )


def _read(task: Task, examples: list[Example]) -> list[bool]:
    """For each question, whether the answer format finds the correct answer in it, by its mark."""
    bare = task.model_copy(update={"format": task.format.model_copy(update={"prefix": "", "stop": ()})})
    alone = _format_alone(bare)
    unmarked = verdicts(alone, [item(e.answer, e) for e in examples[:_TRIED]])
    if any(v.value is not None for v in unmarked):
        return [False] * len(examples)  # it reads answers without any mark: one in a question may be a coincidence
    items = [item(e.question, e) for e in examples]
    marked = verdicts(alone, items)
    found = [place for place, verdict in enumerate(marked) if verdict.value is not None]
    right = [marked[place] for place in found] if alone is bare else verdicts(bare, [items[place] for place in found])
    told = {place for place, verdict in zip(found, right, strict=True) if verdict.status == "correct"}
    return [place in told for place in range(len(examples))]


def _format_alone(task: Task) -> Task:
    """A task with the same format, but without the task's own verdict, which may read text without any mark."""
    if not task.own_verdict:
        return task
    return FileTask(test=task.test, format=task.format, judge=ExactJudge(type="exact"), judge_limits=task.judge_limits)


def _solved(example: Example) -> bool:
    worked = (example.demonstration or "").strip()
    return len(worked) >= _LONG and worked in example.question
