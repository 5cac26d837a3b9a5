"""Verdicts on many completions at once: in this process if judging is sure to end, else in one that can be killed."""

import atexit
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cloudpickle

from orchestrator.answers.guard import Guard
from orchestrator.answers.judges.base import MAX_VALUE
from orchestrator.tasks.base import Task
from orchestrator.tasks.own_modules import module_names
from orchestrator.types import Completion, Example, FinishReason, Verdict

_MOST_GUARDS = 4
_guards: dict[bytes, Guard] = {}
"""A guard for each task judged, the latest last, so that its process is already running for the next shard."""
_lock = threading.Lock()


Item = tuple[Completion, Example]
"""A completion, and the example that it answers."""


def item(text: str, example: Example, finish_reason: FinishReason = "stop") -> Item:
    """A text to judge, if nothing else is known about the completion."""
    return Completion(example.id, 0, text, 0, finish_reason), example


def verdicts(task: Task, items: Sequence[Item]) -> list[Verdict]:
    """The verdict on each completion, in order. A failing judge is reported as a status."""
    if task.guarded:
        return _guard(task).judge(items)
    judge, made = _judge_of(task), []
    for completion, example in items:
        try:
            verdict = judge(completion, example)
        except Exception:  # a bug of ours must not cost the other draws
            verdict = Verdict("error")
        made.append(verdict if verdict.value is None or len(verdict.value) <= MAX_VALUE else _clipped(verdict))
    return made


def _judge_of(task: Task) -> Callable[[Completion, Example], Verdict]:
    """The function that judges one completion; if only the gold answer is needed, without any extra call."""
    if task.own_verdict:
        return task.judge_completion
    extract, judge = task.format.extract, task.judge.judge
    return lambda completion, example: judge(extract(completion.text), example.answer, completion.finish_reason)


class _Judging:
    """The callable sent to the judging process."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, completion: Completion, example: Example) -> Verdict:
        verdict = self.task.judge_completion(completion, example)
        if not isinstance(verdict, Verdict):
            method = type(self.task).judge_completion if self.task.own_scores else type(self.task).verdict
            place = f"{Path(method.__code__.co_filename).name}:{method.__code__.co_firstlineno}"
            raise TypeError(
                f"{method.__name__} returns {verdict!r:.60}, a {type(verdict).__name__}, not a Verdict ({place}): "
                'return Verdict("correct", value) or Verdict("wrong", value), from orchestrator.types'
            )
        return verdict if not isinstance(verdict.value, str) or len(verdict.value) <= MAX_VALUE else _clipped(verdict)

    def prepare(self) -> None:
        """Load what the judge needs."""
        self.task.judge.prepare()


def _clipped(verdict: Verdict) -> Verdict:
    return replace(verdict, value=verdict.value and verdict.value[:MAX_VALUE])


def _guard(task: Task) -> Guard:
    if task.SOURCE is not None and type(task).__module__ in sys.modules:  # it is in a user's file
        for name in (type(task).__module__, *module_names(list(task.MODULES))):
            if name in sys.modules:  # else it is sent by value anyway
                cloudpickle.register_pickle_by_value(sys.modules[name])
    key = cloudpickle.dumps(task)
    with _lock:
        guard = _guards.pop(key, None)
        if guard is None:
            judging = _Judging(task)
            guard = Guard(judging, judging.prepare, task.judge_limits)
        _guards[key] = guard
        surplus = [_guards.pop(old) for old in list(_guards)[:-_MOST_GUARDS]]
    for old_guard in surplus:
        old_guard.close()
    return guard


@atexit.register
def _close() -> None:
    with _lock:
        for guard in _guards.values():
            guard.close()
        _guards.clear()
