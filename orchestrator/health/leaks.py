"""Is the answer given away in the question?"""

from collections.abc import Iterator

from orchestrator.answers.judges.base import as_text
from orchestrator.tasks import Task
from orchestrator.tasks.base import SPLITS
from orchestrator.tasks.judging import verdicts
from orchestrator.types import Example, Finding

_LONG = 8
"""Characters from which on a worked solution found in a question is no accident."""


def leaks(task: Task) -> Iterator[Finding]:
    """A finding for each split whose questions hold the answer where it is looked for, or the whole solution."""
    for split in SPLITS:
        if getattr(task, split) is None:
            continue
        examples = task.examples(split)
        read = _read(task, examples)
        told = [e for e, right in zip(examples, read, strict=True) if right or _solved(e)]
        if told:
            yield Finding(
                "answer-in-prompt",
                "error",
                f"task.{split}: {len(told):,} of {len(examples):,} questions hold their own answer",
                "\n".join(f"{e.question[-160:]!r} (gold {e.answer!r})" for e in told[:3]),
                "the column of the question holds the solution too, so the model learns to copy it and knows nothing "
                "without it",
                "set columns.question to the question alone",
            )


def _read(task: Task, examples: list[Example]) -> list[bool]:
    """Whether the answer format finds the right answer in the question itself."""
    bare = task.model_copy(update={"format": task.format.model_copy(update={"prefix": "", "stop": ()})})
    if any(bare.format.extract(as_text(e.answer)) for e in examples[:1]):
        return [False] * len(examples)  # it reads answers without any mark: one in a question may be there by chance
    return [v.status == "correct" for v in verdicts(bare, [(e.question, e.answer, "stop") for e in examples])]


def _solved(example: Example) -> bool:
    worked = (example.demonstration or "").strip()
    return len(worked) >= _LONG and worked in example.question
