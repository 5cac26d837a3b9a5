"""`rejudge` as a function: what the models of a past run wrote, judged in another way. Nothing is drawn or stored."""

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
"""The settings that decide how a text that is there is read and judged."""
_SHOWN = 3
"""Changed verdicts that are shown of each model, of each kind of change."""

Examples = Callable[[Mapping[str, Any]], Example]
"""The question that a stored row answers."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A completion that is judged differently now."""

    question: str
    gold: str
    text: str
    status_before: str
    value_before: str | None
    status: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Rejudged:
    """The answers of a model, or the draws of a stage, before and now."""

    name: str
    """The model, or the stage that drew."""
    what: str
    """`answers`, or `draws`."""
    before: Summary
    now: Summary
    gained: int
    """Completions that are correct now and were not."""
    lost: int
    """Those that were and are not."""
    changed: tuple[Changed, ...]
    """The first whose verdict is another."""


@dataclass(frozen=True, slots=True)
class Rejudging:
    """A run judged in another way."""

    run_id: str
    judged_before: str
    """How, in words."""
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
    """Judge the answers of a run's models, and its stages' draws, with other settings of its judge and its format.

    `overrides` are `task.judge.*` and `task.format.*` settings as `key=value`; `trust` runs whatever code the run's
    recipe names.

    Raises:
        InputError: no such run, another setting, or nothing that could be judged.
        RecipeError: a setting that cannot be used.
        DataError: completions that are damaged.
        UntrustedCode: the task judges by code that may not be run.
    """
    for override in overrides:
        [name] = change_of(override)
        if not any(name == block or name.startswith(f"{block}.") for block in _BLOCKS):
            raise InputError(
                f"override {override!r}: what is stored is read and judged by {' and '.join(_BLOCKS)} alone; "
                "write task.judge.tolerance=0.01 or task.judge.type=math, and `orch run` takes all others"
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
            f"task.format.{unlike[0]} differs: the texts were written for the old one, so `orch run` would have new "
            "ones written"
        )
    parts = tuple(_parts(past, task, now, notes))
    if not parts:
        raise InputError(f"run {past.run.run_id} has no completions that could be judged: it has evaluated no model")
    return Rejudging(past.run.run_id, judged_by(was), judged_by(now), parts, tuple(notes))


def _changes(task: Task, overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as changes of a recipe with every default written out.

    Where the type of a block changes, settings that only the old type has go with it.
    """
    changes = {name: value for override in overrides for name, value in change_of(override).items()}
    for block, old, kinds in (("task.judge", task.judge, JUDGES), ("task.format", task.format, FORMATS)):
        kind = kinds.get(str(changes.get(f"{block}.type")))
        if kind is not None and not isinstance(old, kind):
            kept = old.model_dump(mode="json", include=set(kind.model_fields) & set(AnswerFormat.model_fields))
            changes = {block: kept} | changes
    return changes


def _judging(task: Task) -> tuple[Task, list[str]]:
    """What judges, without a user's own code where that can be, and what to know of it."""
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
    """The questions that a stage has drawn for.

    Raises:
        InputError: they cannot be read, or are others by now.
    """
    drawing = verb.drawing()
    assert drawing is not None
    drawn_for = stage.store.find(stage.origin).tags.get(POOL_TAG, "").partition("-")[0]
    if drawn_for != questions_of(task, drawing.split):
        why = "has other questions or gold answers by now" if drawn_for else "may have been another then"
        raise InputError(f"task.{drawing.split} {why}")
    by_id = {example.id: example for example in task.examples(drawing.split)}
    return lambda row: by_id[row["example_id"]]


def _asked(row: Mapping[str, Any]) -> Example:
    """The question as an evaluation's results hold it."""
    data = JsonObject(json.loads(row["data"])) if row.get("data") else JsonObject()
    return Example(row["example_id"], row["question"], row["gold"], data=data)


def _judged(name: str, what: str, path: Path, task: Task, example_of: Examples) -> Rejudged:
    """All rows of a file, a piece at a time."""
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
