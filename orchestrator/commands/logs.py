"""`logs` as a function: the worker logs of a run's stages, and the errors of those that failed."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import InputError
from orchestrator.recipe.paths import is_url
from orchestrator.recipe.yaml_source import read_data
from orchestrator.runs.past import RECIPE_FILE, seed_of
from orchestrator.runs.work import WorkFolder, at_work
from orchestrator.runs.worker_log import read_log
from orchestrator.schema import unknown
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import ERROR_FILE, LOGS, SWEPT, WHOLE_RUN, log_of
from orchestrator.store.opening import open_store
from orchestrator.store.place import store_folder
from orchestrator.types import BASE

State = Literal["running", "finished", "reused", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class StageLog:
    """The worker log of one stage."""

    stage: str
    """The stage's name; for an evaluation, `evaluate.MODEL` or `evaluate.MODEL.SPLIT`."""
    trial: str
    """If there are several trials: the first one that has the stage."""
    state: State
    error: str | None
    """Why it failed."""
    run_id: str
    """The run that lists the stage."""
    made_by: str
    """The run that executed the stage: another one if it is reused, otherwise the same."""
    text: str | None
    """None: no log was stored."""
    reused_from: str | None = None
    """The top-level run that `made_by` is part of, as listed by `orch runs`; None: the stage is not reused."""

    @property
    def lines(self) -> int | None:
        """Number of lines in the log."""
        return None if self.text is None else len(self.text.splitlines())

    @property
    def title(self) -> str:
        """The stage, prefixed with its trial if there are several."""
        return f"{self.trial}  {self.stage}" if self.trial else self.stage


@dataclass(frozen=True, slots=True)
class RunLogs:
    """The logs of a run: all stages that have begun, and in `shown` those requested or failed."""

    run_id: str
    experiment: str
    state: State
    error: str | None
    """The error and traceback of the run itself, if it failed outside its stages."""
    stages: tuple[StageLog, ...]
    shown: tuple[StageLog, ...]

    def as_json(self) -> dict[str, Any]:
        """One object for `--json`; `text` is set only for the stages in `shown`."""
        rows = []
        for one in self.stages:
            row = asdict(one) | {"lines": one.lines}
            rows.append(row | {"text": one.text if one in self.shown else None})
        about = {"run_id": self.run_id, "experiment": self.experiment, "state": self.state, "error": self.error}
        return about | {"stages": rows}


def logs(run: str | None = None, stage: str | None = None, seed: int | None = None) -> RunLogs:
    """The worker logs of a run; `shown` has the named stage, or all failed stages.

    `run` is an id or the beginning of one, an experiment, or `last`, the default. If there are several trials, all are
    included, or those of one `seed`; the id of a stage's own run selects that stage and its evaluations. A stage that
    trials share is listed once. The log of a running or killed stage is what its workers have written so far.

    Raises:
        TrackingError: no such run.
        InputError: the run has no such stage or seed, or has stored no log of it.
    """
    store = open_store()
    found = store.find(None if run == "last" else run)
    if seed is not None:
        found = store.find(seed_of(found.run_id, seed).run_id)
    above = store.find(found.parent) if found.parent is not None and found.is_stage and found.verb != SWEPT else found
    every: dict[tuple[str, str], StageLog] = {}
    never: set[str] = set()
    for part, trial in _parts(store, above):
        data = _recipe(store, part)
        begun = list(_stages(store, part, data, trial))
        for one in begun:
            if above is found or one.run_id == found.run_id:
                every.setdefault((one.made_by, one.stage), one)
        never |= set(data.get("stages") or ()) - {one.stage for one in begun}
    listed = tuple(every.values())
    if stage is None:
        shown = tuple(one for one in listed if one.state == "failed")
    else:
        shown = _named(above, listed, stage, never)
    if all(one.text is None for one in listed):
        raise InputError(_no_logs(above, listed))
    return RunLogs(above.run_id, above.experiment, above.state, _own_error(store, above), listed, shown)


def _parts(store: Store, run: StoredRun, title: str = "") -> Iterator[tuple[StoredRun, str]]:
    """The runs directly above stages, with their titles: the run itself, or the runs of its trials."""
    children = store.children(run.run_id).items()
    below = [(name, one) for name, one in children if one.is_trial or one.verb in (WHOLE_RUN, SWEPT)]
    if not below:
        yield run, title
    for name, one in below:
        yield from _parts(store, one, f"{title}, {name}" if title else name)


def _recipe(store: Store, run: StoredRun) -> dict[str, Any]:
    """A run's recipe as stored, which may no longer be valid; empty if it cannot be read."""
    data: Any = None
    with suppress(OSError, InputError):
        data = read_data(store.artifact(run, RECIPE_FILE), RECIPE_FILE)
    return data if isinstance(data, dict) else {}


def _stages(store: Store, parent: StoredRun, recipe: dict[str, Any], trial: str) -> Iterator[StageLog]:
    """The stages of a run that have begun, each followed by its evaluations."""
    children = store.children(parent.run_id)
    working = _at_work(recipe, children)
    for name, run in children.items():
        kept = list(_of_run(store, name, run, trial))
        known = {one.stage for one in kept if one.text is not None}
        mine = {stage: found for (run_id, stage), found in working.items() if run_id == run.run_id}
        for one in kept:
            now = mine.get(one.stage) if one.stage not in known else None
            yield one if now is None else replace(one, state=now[0], text=now[1])
        for stage in mine.keys() - {one.stage for one in kept}:
            state, text = mine[stage]
            yield StageLog(stage, trial, state, None, run.run_id, run.run_id, text)


def _of_run(store: Store, name: str, run: StoredRun, trial: str) -> Iterator[StageLog]:
    """The stages recorded in a stage's run: the stage itself, and the evaluations of its model."""
    evaluates_only = run.model is not None and run.verb == "evaluate"
    if not evaluates_only:
        maker = run if run.origin == run.run_id else store.find(run.origin)
        error = run.error if run.status == "FAILED" else None
        yield _log(store, name, trial, run.state, error, run, maker, maker.name)
    if run.model is None:
        return
    done = [also for also in (None, *run.splits) if run.evaluation_key(also) is not None]
    for also in done:
        origin = run.evaluation_origin(also)
        maker = run if origin == run.run_id else store.find(origin)
        stage = _evaluation(str(run.model), also)
        yield _log(store, stage, trial, "finished", None, run, maker, _evaluation(str(maker.model), also))
    folder = store.artifact(run, LOGS, fresh=True)
    written = {file.stem for file in folder.glob("evaluate.*.txt")} if folder.is_dir() else set()
    failed = sorted(written - {_evaluation(str(run.model), also) for also in done})
    if evaluates_only and not done and not failed:
        failed = [_evaluation(str(run.model), None)]
    for stage in failed:
        state = "failed" if stage in written else run.state
        yield _log(store, stage, trial, state, run.error if state == "failed" else None, run, run, stage)


def _log(
    store: Store, stage: str, trial: str, state: State, error: str | None, run: StoredRun, maker: StoredRun, name: str
) -> StageLog:
    file = store.artifact(maker, log_of(name), fresh=True)
    text = file.read_text(encoding="utf-8") if file.is_file() else None
    if maker.run_id == run.run_id:
        return StageLog(stage, trial, state, error, run.run_id, run.run_id, text)
    return StageLog(stage, trial, "reused", error, run.run_id, maker.run_id, text, _above(store, maker).run_id)


def _above(store: Store, run: StoredRun) -> StoredRun:
    """The topmost ancestor of a run."""
    return run if run.parent is None else _above(store, store.find(run.parent))


def _evaluation(model: str, also: str | None) -> str:
    return f"evaluate.{model}" if also is None else f"evaluate.{model}.{also}"


def _at_work(recipe: dict[str, Any], children: dict[str, StoredRun]) -> dict[tuple[str, str], tuple[State, str]]:
    """State and log, by run and stage, of the stages in the work folder that are running or were interrupted."""
    storage = str(recipe.get("storage") or "")
    root = Path(storage).expanduser() if storage and not is_url(storage) else store_folder() / "work"
    ids = {run.run_id for run in children.values()}
    found: dict[tuple[str, str], tuple[State, str]] = {}
    for folder in root.iterdir() if root.is_dir() else ():
        about = WorkFolder.about(folder)
        if about.get("run") in ids:
            state: State = "running" if at_work(root, folder.name) else "interrupted"
            found[about["run"], about["stage"]] = state, read_log(folder)
    return {where: one for where, one in found.items() if one[1]}


def _own_error(store: Store, run: StoredRun) -> str | None:
    file = store.artifact(run, ERROR_FILE, fresh=True)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _named(run: StoredRun, listed: tuple[StageLog, ...], stage: str, never: set[str]) -> tuple[StageLog, ...]:
    wanted = f"evaluate.{BASE}" if stage == BASE else stage
    found = tuple(one for one in listed if one.stage == wanted)
    where = f"run {run.run_id[:8]}"
    if not found and stage in never:
        raise InputError(f"{where}: stage {stage!r} has not begun, so it has no log; begun so far: {_names(listed)}")
    if not found:
        raise InputError(f"{where}: {unknown('stage', stage, dict.fromkeys(one.stage for one in listed))}")
    if all(one.text is None for one in found):
        raise InputError(f"{where}: stage {stage!r} has stored no log: {_why_none(found[0])}")
    return tuple(one for one in found if one.text is not None)


def _names(listed: tuple[StageLog, ...]) -> str:
    return ", ".join(dict.fromkeys(one.stage for one in listed)) or "none"


def _why_none(one: StageLog) -> str:
    if one.state == "running":
        return "its workers have written nothing yet that is visible from here; the log is stored when the stage ends"
    if one.state == "interrupted":
        return "it was stopped before its log was stored, and its work folder is gone"
    made = f"it is reused from run {str(one.reused_from)[:8]}, which" if one.state == "reused" else "its run"
    return f"{made} was created by a version of orch that stored none, or the log was deleted"


def _no_logs(run: StoredRun, listed: tuple[StageLog, ...]) -> str:
    why = "none of its stages has begun" if not listed else _why_none(listed[0])
    failed = f"; it failed: {run.error.splitlines()[0]}" if run.error and run.status == "FAILED" else ""
    return f"run {run.run_id[:8]} has stored no logs: {why}{failed}"
