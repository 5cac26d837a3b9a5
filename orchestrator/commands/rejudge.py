"""`rejudge` as a function: judge a past run's completions with other settings. Nothing is sampled or stored."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.answers.formats import FORMATS, AnswerFormat
from orchestrator.answers.judges import JUDGES
from orchestrator.errors import InputError
from orchestrator.plan.plan import questions_of
from orchestrator.recipe.recipe import change_of
from orchestrator.recipe.stored_task import StoredTask
from orchestrator.runs.past import PastRecipe, PastStage, past_recipe
from orchestrator.sampling.completions import Summary, summary_by_question
from orchestrator.stages.base import Verb
from orchestrator.store.names import COMPLETIONS, POOL_TAG
from orchestrator.store.tables import batches_of
from orchestrator.tasks import Task
from orchestrator.tasks.judged_by import judged_by
from orchestrator.tasks.judging import verdicts
from orchestrator.tasks.tolerance import fitted
from orchestrator.types import BASE, Completion, Example, JsonObject

_BLOCKS = ("task.judge", "task.format")
"""The settings that decide how a stored completion is parsed and judged."""
_SHOWN = 3
"""Maximum number of changed verdicts shown per model and kind of change."""

Examples = Callable[[Mapping[str, Any]], Example]
"""Maps a stored row to the question that it answers."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A completion whose verdict has changed."""

    question: str
    gold: str
    text: str
    status_before: str
    value_before: str | None
    status: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Rejudged:
    """Summary of a model's answers, or a stage's draws, before and now."""

    name: str
    """The model, or the stage that made the draws."""
    what: str
    """`answers`, or `draws`."""
    before: Summary
    now: Summary
    gained: int
    """Number of completions that are correct now and were not before."""
    lost: int
    """Number of completions that were correct and are not now."""
    changed: tuple[Changed, ...]
    """The first completions that became correct, then the first that are no longer correct."""


@dataclass(frozen=True, slots=True)
class Rejudging:
    """A run judged with other settings."""

    run_id: str
    judged_before: str
    """How answers were parsed and judged, in words."""
    judged_now: str
    parts: tuple[Rejudged, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`."""
        parts = [
            {
                "name": part.name,
                "what": part.what,
                "before": part.before.metrics(),
                "now": part.now.metrics(),
                "gained": part.gained,
                "lost": part.lost,
            }
            for part in self.parts
        ]
        return {
            "run_id": self.run_id,
            "judged_before": self.judged_before,
            "judged_now": self.judged_now,
            "parts": parts,
            "notes": list(self.notes),
        }


def rejudge(run: str | None = None, overrides: Sequence[str] = (), *, trust: bool = False) -> Rejudging:
    """Judge the answers of a run's models, and its stages' draws, with other judge and format settings.

    `overrides` are `task.judge.*` and `task.format.*` settings as `key=value`; `trust` runs whatever code the run's
    recipe names.

    Raises:
        InputError: no such run, an override of any other setting, or nothing to judge.
        RecipeError: a setting is invalid.
        DataError: the completions are damaged.
        UntrustedCode: the task judges with code that is not trusted.
    """
    for override in overrides:
        [name] = change_of(override)
        if not any(name == block or name.startswith(f"{block}.") for block in _BLOCKS):
            raise InputError(
                f"override {override!r}: only {' and '.join(_BLOCKS)} decide how stored completions are judged; "
                "write task.judge.tolerance=0.01 or task.judge.type=math, and use `orch run` for other settings"
            )
    past = past_recipe(run, trust)
    task = past.recipe.task
    now = past.recipe.varied(_changes(task, overrides)).task if overrides else task
    if isinstance(now, StoredTask) and isinstance(task, StoredTask):
        now.belongs_to(task.code)
    was, notes = _judging(task)
    now, more = _judging(now)
    now, _ = fitted(now) if overrides else (now, None)
    notes = [*dict.fromkeys([*notes, *more])]
    if unlike := [name for name in ("prompt", "system", "chat", "prefix", "stop") if _differs(was, now, name)]:
        notes.append(
            f"task.format.{unlike[0]} differs: the texts were written for the old one, so `orch run` would generate "
            "new ones"
        )
    parts = tuple(_parts(past, task, now, notes))
    if not parts:
        raise InputError(f"run {past.run.run_id} has no completions that could be judged: it has evaluated no model")
    return Rejudging(past.run.run_id, judged_by(was), judged_by(now), parts, tuple(notes))


def _changes(task: Task, overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as changes to a recipe with every default written out.

    If the type of a block changes, settings that only the old type has are dropped.
    """
    changes = {name: value for override in overrides for name, value in change_of(override).items()}
    for block, old, kinds in (("task.judge", task.judge, JUDGES), ("task.format", task.format, FORMATS)):
        kind = kinds.get(str(changes.get(f"{block}.type")))
        if kind is not None and not isinstance(old, kind):
            kept = old.model_dump(mode="json", include=set(kind.model_fields) & set(AnswerFormat.model_fields))
            changes = {block: kept} | changes
    return changes


def _judging(task: Task) -> tuple[Task, list[str]]:
    """The task to judge with, without the user's own code if possible, and notes about it."""
    if not isinstance(task, StoredTask):
        return task, []
    found, notes = task.judging_task()
    return found, [*notes]


def _differs(was: Task, now: Task, name: str) -> bool:
    return bool(getattr(was.format, name) != getattr(now.format, name))


def _parts(past: PastRecipe, task: Task, now: Task, notes: list[str]) -> Iterator[Rejudged]:
    for name in [name for name in (BASE, *past.recipe.stages) if name in past.stages]:
        stage = past.stages[name]
        if stage.output == COMPLETIONS and stage.status == "FINISHED":
            try:
                known = _questions(past.recipe.stages[name], stage, task)
            except InputError as error:
                notes.append(f"the draws of {name} are left out: {error}")
            else:
                yield _judged(name, "draws", stage.store.output(stage.origin, COMPLETIONS), now, known)
        if stage.results is not None:
            yield _judged(name, "answers", stage.results, now, _asked)


def _questions(verb: Verb, stage: PastStage, task: Task) -> Examples:
    """Maps rows to the questions that a stage sampled completions for.

    Raises:
        InputError: they cannot be read, or have changed since.
    """
    drawing = verb.drawing()
    assert drawing is not None
    drawn_for = stage.store.find(stage.origin).tags.get(POOL_TAG, "").partition("-")[0]
    if drawn_for != questions_of(task, drawing.split):
        why = "has different questions or gold answers now" if drawn_for else "may have been different then"
        raise InputError(f"task.{drawing.split} {why}")
    by_id = {example.id: example for example in task.examples(drawing.split)}
    return lambda row: by_id[row["example_id"]]


def _asked(row: Mapping[str, Any]) -> Example:
    """The question as stored in an evaluation's results."""
    data = JsonObject(json.loads(row["data"])) if row.get("data") else JsonObject()
    return Example(row["example_id"], row["question"], row["gold"], data=data)


def _judged(name: str, what: str, path: Path, task: Task, example_of: Examples) -> Rejudged:
    """Rejudge all rows of a file, batch by batch."""
    ids: list[str] = []
    before: list[str] = []
    now: list[str] = []
    changed: dict[bool, list[Changed]] = {True: [], False: []}
    for batch in batches_of(path):
        rows = batch.to_pylist()
        items = [
            (
                Completion(row["example_id"], row.get("draw") or 0, row["text"], row["n_tokens"], row["finish_reason"]),
                example_of(row),
            )
            for row in rows
        ]
        for row, (_, example), verdict in zip(rows, items, verdicts(task, items), strict=True):
            ids.append(example.id)
            before.append(row["status"])
            now.append(verdict.status)
            is_right = verdict.status == "correct"
            if is_right != (row["status"] == "correct") and len(changed[is_right]) < _SHOWN:
                old, new = (row["status"], row["value"]), (verdict.status, verdict.value)
                changed[is_right].append(Changed(example.question, example.answer, row["text"], *old, *new))
    then, there = (pa.table({"example_id": ids, "status": statuses}) for statuses in (before, now))
    gained = sum(new == "correct" != old for old, new in zip(before, now, strict=True))
    lost = sum(old == "correct" != new for old, new in zip(before, now, strict=True))
    shown = (*changed[True], *changed[False])
    return Rejudged(name, what, summary_by_question(then), summary_by_question(there), gained, lost, shown)
