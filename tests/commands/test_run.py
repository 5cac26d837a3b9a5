"""How a run's failures and interruptions are told to the store, and which plan goes first.

The walk itself is tested on the real stack.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator.errors import Interrupted, StageError
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import RunResult
from orchestrator.runs.work import WorkFolder
from orchestrator.types import Finding

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


class Store:
    """A store in memory: the status and the tags of each run."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.process: str | None = None

    def log(self, run_id: str, metrics: dict[str, float], tags: dict[str, str] | None = None) -> None:
        self.tags.setdefault(run_id, {}).update(tags or {})

    def log_text(self, run_id: str, text: str, name: str) -> None:
        assert name == "recipe.yaml" or (name == "error.txt" and "Error" in text)

    def address(self, run_id: str, name: str) -> str:
        return f"mlruns/{run_id}/{name}"

    def experiment(self, name: str) -> str:
        return name

    def experiment_of(self, run_id: str) -> str:
        return "test"

    def tagged(self, tag: str, value: str, most: int) -> list[Any]:
        return []

    def start(self, experiment: str, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        assert tags["orch.verb"] == "run"
        self.status["parent"] = "RUNNING"
        return "parent"

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        self.status[run_id] = status
        self.log(run_id, {}, {"orch.error": error} if error else {})

    def end_open(self, status: str, error: str) -> None:
        for run_id in [run_id for run_id, now in self.status.items() if now == "RUNNING"]:
            self.end(run_id, status, error)


MODULES = (
    *("commands.run", "report.make"),
    *("runs.record", "runs.past", "runs.progress", "runs.scheduler", "runs.seeds"),
)
TRACKING = ("Store", "key_tag", "origin_tags")


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module `execute` and those under it, without MLflow and Ray."""
    tracking = ModuleType("orchestrator.store.mlflow")
    vars(tracking).update(dict.fromkeys(TRACKING, Store))
    monkeypatch.setitem(sys.modules, "orchestrator.store.mlflow", tracking)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, f"orchestrator.{name}", raising=False)
    import orchestrator.commands.run as module

    monkeypatch.setattr(sys.modules["orchestrator.runs.scheduler"], "disconnect", lambda: None)
    yield module
    for name in MODULES:
        sys.modules.pop(f"orchestrator.{name}", None)


def plan() -> Plan:
    Path("r.yaml").write_text(RECIPE)
    return compile_plan(load_recipe("r.yaml"))


def walk(execute: Any, store: Store) -> tuple[Any, Any]:
    """A run of the small recipe in which training is done and both evaluations are at work; its only branch."""
    made = plan()
    branch = execute.Branch(made, execute.Record(store, made))
    for name, run_id in {"sft": "run of sft", "evaluate.sft": "run of sft", "evaluate.base": "run of base"}.items():
        branch.states[name].state, branch.states[name].run_id, branch.states[name].started = "running", run_id, 0.0
    branch.states["sft"].state = "done"
    branch.record._runs = {"sft": "run of sft", "base": "run of base"}
    store.status = {"run of sft": "FINISHED", "run of base": "RUNNING", "parent": "RUNNING"}
    return execute.Walk([branch], store, WorkFolder(Path("work")), None, lambda states: None), branch


def at_work(walk: Any, branch: Any, name: str) -> None:
    """Say that a stage is at work."""
    from orchestrator.runs.scheduler import _Running

    lock = walk.work.lock(name)
    walk.running[branch.states[name].stage.key] = _Running(branch, branch.states[name], None, lock, None, [], None)  # type: ignore[arg-type]


def test_an_evaluation_that_fails_does_not_undo_the_training(execute: Any) -> None:
    store = Store()
    _, branch = walk(execute, store)
    for name in ("evaluate.sft", "evaluate.base"):
        branch.fail(branch.states[name], StageError("why"))
    assert store.status == {"run of sft": "FINISHED", "run of base": "FAILED", "parent": "RUNNING"}
    assert store.tags["run of sft"]["orch.error"] == store.tags["run of base"]["orch.error"] == "why"
    assert branch.states["evaluate.sft"].error == "stage 'evaluate.sft' failed: why"


def test_a_stage_that_fails_ends_its_run(execute: Any) -> None:
    store = Store()
    _, branch = walk(execute, store)
    branch.fail(branch.states["sft"], StageError("why"))
    assert store.status["run of sft"] == "FAILED"


def test_what_was_found_before_a_run_stays_with_it(execute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    _, branch = walk(execute, store)
    found = Finding("test-in-training", "info", "7 of 100 test questions stand in task.train", "", "", "")
    record = sys.modules["orchestrator.runs.record"]
    monkeypatch.setattr(record, "result", lambda *_: RunResult("parent", "test", (), ()))
    monkeypatch.setattr(record, "show_models", lambda *_: None)
    branch.record.ended([], (found,))
    assert store.tags["parent"]["orch.finding.test-in-training"].startswith("info: 7 of 100 test questions")


def test_a_walk_that_is_given_up_lets_go_of_its_locks(execute: Any) -> None:
    store = Store()
    made, branch = walk(execute, store)
    for name in ("evaluate.sft", "evaluate.base"):
        at_work(made, branch, name)
    made.stop()
    assert store.status == {"run of sft": "FINISHED", "run of base": "RUNNING", "parent": "RUNNING"}
    assert list(Path("work/locks").iterdir()) == []
    assert [branch.states[name].state for name in ("evaluate.sft", "evaluate.base")] == ["stopped"] * 2


@pytest.mark.parametrize(
    ("raised", "told", "status", "why"),
    [
        (KeyboardInterrupt(), Interrupted, "KILLED", "interrupted"),
        (ValueError("why"), ValueError, "FAILED", "ValueError: why"),
    ],
)
def test_whatever_ends_a_walk_leaves_no_run_running(
    execute: Any,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    told: type[BaseException],
    status: str,
    why: str,
) -> None:
    def go(walk: Any) -> None:
        raise raised

    store = Store()
    monkeypatch.setattr(execute.Walk, "go", go)
    with pytest.raises(told):
        execute._carry_out(plan(), store, WorkFolder(Path("work")), None, lambda states: None)
    assert store.status == {"parent": status} and store.tags["parent"]["orch.error"] == why
    assert store.process and list(Path("work/locks").iterdir()) == []


def test_an_interruption_while_the_run_is_made_closes_it(execute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    store = Store()
    monkeypatch.setattr(store, "log_text", interrupts)
    with pytest.raises(Interrupted):
        execute._carry_out(plan(), store, WorkFolder(Path("work")), None, lambda states: None)
    assert store.status == {"parent": "KILLED"}


def test_of_several_evaluations_in_one_run_those_that_are_made_are_kept(execute: Any) -> None:
    Path("more.json").write_text('[["How many cm are 2 m?", 200], ["How many cm are 3 m?", 300]]')
    Path("r.yaml").write_text(
        RECIPE.replace("test: {", "further: {more: {file: more.json}}, test: {") + "evaluate: {also: more}\n"
    )
    store, made = Store(), compile_plan(load_recipe("r.yaml"))
    record = execute.Record(store, made)
    base = {stage.name: stage for stage in made.stages if stage.run_name == "base"}
    assert list(base) == ["evaluate.base", "evaluate.base.more"]
    record._runs, record.origins = {"base": "run of base"}, {"evaluate.base.more": "run of base"}
    store.status["run of base"] = "RUNNING"
    record._close(base["evaluate.base.more"], None)
    assert store.status["run of base"] == "RUNNING", "the other is not made yet"
    record.keep_made()
    assert store.status["run of base"] == "FINISHED"
    store.status["run of base"] = "RUNNING"
    record._close(base["evaluate.base"], "why")
    assert (store.status["run of base"], store.tags["run of base"]["orch.error"]) == ("FINISHED", "why")


def test_a_run_whose_figures_cannot_be_read_back_is_not_left_running(
    execute: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise FileNotFoundError("eval/results.parquet")

    def walks(walk: Any) -> None:
        walk.branches[0].close()

    store = Store()
    monkeypatch.setattr(execute.Walk, "go", walks)
    monkeypatch.setattr(execute.Record, "ended", breaks)
    result = execute._carry_out(plan(), store, WorkFolder(Path("work")), None, lambda states: None)
    assert any("FileNotFoundError: eval/results.parquet" in error for error in result.errors)
    assert store.status == {"parent": "FAILED"}
    assert "FileNotFoundError: eval/results.parquet" in store.tags["parent"]["orch.error"]
    assert list(Path("work/locks").iterdir()) == []


def test_what_depends_on_a_failed_stage_is_skipped(execute: Any) -> None:
    _, branch = walk(execute, Store())
    branch.states["sft"].state, branch.states["evaluate.sft"].state = "failed", "waiting"
    assert not branch.ready(branch.states["evaluate.sft"])
    state = branch.states["evaluate.sft"]
    assert (state.state, state.figure) == ("skipped", "needs sft")


class Cause(Exception):
    """What Ray wraps around an error of a worker."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


def test_errors_of_workers_in_one_line(execute: Any) -> None:
    from orchestrator.runs.record import one_line

    assert one_line(Cause(StageError("its own words"))) == "its own words"
    assert one_line(Cause(ValueError("first\n\nlast"))) == "ValueError: last"
    assert one_line(ValueError()) == "ValueError: "
    assert len(one_line(ValueError("x" * 5000))) == 1000
    for name in ("WorkerCrashedError", "OutOfMemoryError", "ActorDiedError"):
        died = type(name, (Exception,), {})
        assert "out of memory, or killed" in one_line(died())
