"""Verdicts on many completions at once: here where judging is sure to end, else in a process that can be killed."""

import atexit
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cloudpickle

from orchestrator.answers.guard import Guard
from orchestrator.answers.judges.base import MAX_VALUE
from orchestrator.tasks.base import Task
from orchestrator.types import FinishReason, Verdict

_MOST_GUARDS = 4
_guards: dict[bytes, Guard] = {}
"""A guard for each task that was judged, the latest last: a process that judges the next shard is there already."""
_lock = threading.Lock()


def verdicts(task: Task, items: Sequence[tuple[str, str, FinishReason]]) -> list[Verdict]:
    """The verdict on each (completion, gold answer, finish reason), in order. A judge that fails is a status."""
    if task.guarded:
        return _guard(task).judge(items)
    judge, extract = task.judge.judge, task.format.extract
    made = []
    for text, answer, finish_reason in items:
        try:
            verdict = judge(extract(text), answer, finish_reason)
        except Exception:  # a bug of ours must not cost the draws beside it
            verdict = Verdict("error")
        made.append(verdict if verdict.value is None or len(verdict.value) <= MAX_VALUE else _clipped(verdict))
    return made


class _Judging:
    """What is sent to the process that judges."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, text: str, answer: str, finish_reason: FinishReason) -> Verdict:
        verdict = self.task.verdict(text, answer, finish_reason)
        if not isinstance(verdict, Verdict):
            code = type(self.task).verdict.__code__
            place = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
            raise TypeError(
                f"verdict returns {verdict!r:.60}, a {type(verdict).__name__}, not a Verdict ({place}): return "
                'Verdict("correct", value) or Verdict("wrong", value), of orchestrator.types'
            )
        return verdict if not isinstance(verdict.value, str) or len(verdict.value) <= MAX_VALUE else _clipped(verdict)

    def prepare(self) -> None:
        """Load what the judge needs."""
        self.task.judge.prepare()


def _clipped(verdict: Verdict) -> Verdict:
    return replace(verdict, value=verdict.value and verdict.value[:MAX_VALUE])


def _guard(task: Task) -> Guard:
    if task.SOURCE is not None and type(task).__module__ in sys.modules:  # it stands in a user's file
        cloudpickle.register_pickle_by_value(sys.modules[type(task).__module__])
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
