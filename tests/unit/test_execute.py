"""How a run's failures and interruptions are told to the store; the walk itself is tested on the real stack."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator.errors import StageError
from orchestrator.plan import Plan, compile_plan
from orchestrator.recipe import load_recipe
from orchestrator.work import WorkFolder

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

    def log(self, run_id: str, metrics: dict[str, float], tags: dict[str, str] | None = None) -> None:
        self.tags.setdefault(run_id, {}).update(tags or {})

    def log_text(self, run_id: str, text: str, name: str) -> None:
        assert name == "recipe.yaml" or (name == "error.txt" and "StageError" in text)

    def experiment(self, name: str) -> str:
        return name

    def start(self, experiment: str, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        assert tags["orch.verb"] == "run"
        self.status["parent"] = "RUNNING"
        return "parent"

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        self.status[run_id] = status
        self.log(run_id, {}, {"orch.error": error} if error else {})


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules `execute` and `record`, without MLflow and Ray."""
    tracking = ModuleType("orchestrator.tracking")
    vars(tracking).update(dict.fromkeys(("Store", "key_tag", "origin_tags", "store_exists", "store_folder"), Store))
    monkeypatch.setitem(sys.modules, "orchestrator.tracking", tracking)
    for name in ("execute", "record"):
        monkeypatch.delitem(sys.modules, f"orchestrator.{name}", raising=False)
    import orchestrator.execute as module

    monkeypatch.setattr(module, "disconnect", lambda: None)
    yield module
    for name in ("execute", "record"):
        sys.modules.pop(f"orchestrator.{name}", None)


def plan() -> Plan:
    Path("r.yaml").write_text(RECIPE)
    return compile_plan(load_recipe("r.yaml"))


def walk(execute: Any, store: Store) -> Any:
    """A run of the small recipe in which training is done and both evaluations are at work."""
    made = execute._Walk(plan(), store, WorkFolder(Path("work")), None, lambda states: None)
    made.record = execute.Record(store, made.plan)
    for name, run_id in {"sft": "run of sft", "evaluate.sft": "run of sft", "evaluate.base": "run of base"}.items():
        made.states[name].state, made.states[name].run_id, made.states[name].started = "running", run_id, 0.0
    made.states["sft"].state = "done"
    store.status = {"run of sft": "FINISHED", "run of base": "RUNNING", "parent": "RUNNING"}
    return made


def test_an_evaluation_that_fails_does_not_undo_the_training(execute: Any) -> None:
    store = Store()
    made = walk(execute, store)
    for name in ("evaluate.sft", "evaluate.base"):
        made._fail(made.states[name], StageError("why"))
    assert store.status == {"run of sft": "FINISHED", "run of base": "FAILED", "parent": "RUNNING"}
    assert store.tags["run of sft"]["orch.error"] == store.tags["run of base"]["orch.error"] == "why"
    assert made.states["evaluate.sft"].error == "stage 'evaluate.sft' failed: why"


def test_a_stage_that_fails_ends_its_run(execute: Any) -> None:
    store = Store()
    made = walk(execute, store)
    made._fail(made.states["sft"], StageError("why"))
    assert store.status["run of sft"] == "FAILED"


def test_an_interruption_leaves_no_run_running(execute: Any) -> None:
    store = Store()
    made = walk(execute, store)
    for name in ("evaluate.sft", "evaluate.base"):
        lock = made.work.lock(name)
        made.running[name] = execute._Running(made.states[name], None, lock, None, [], None)
    made._stop()
    assert store.status == {"run of sft": "FINISHED", "run of base": "KILLED", "parent": "KILLED"}
    assert list(Path("work/locks").iterdir()) == []
    assert [made.states[name].state for name in ("evaluate.sft", "evaluate.base")] == ["stopped"] * 2


def test_a_walk_that_breaks_leaves_no_run_running(execute: Any) -> None:
    store = Store()
    made = walk(execute, store)
    made.record.broke([made.states["evaluate.sft"], made.states["evaluate.base"]], ValueError("why"))
    assert store.status == {"run of sft": "FINISHED", "run of base": "FAILED", "parent": "FAILED"}
    assert store.tags["parent"]["orch.error"] == "ValueError: why"


def test_a_run_whose_figures_cannot_be_read_back_is_not_left_running(
    execute: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise FileNotFoundError("eval/results.parquet")

    store = Store()
    made = execute._Walk(plan(), store, WorkFolder(Path("work")), None, lambda states: None)
    monkeypatch.setattr(made, "_walk", lambda: None)
    monkeypatch.setattr(execute.Record, "ended", breaks)
    with pytest.raises(FileNotFoundError):
        made.go()
    assert store.status == {"parent": "FAILED"}
    assert store.tags["parent"]["orch.error"] == "FileNotFoundError: eval/results.parquet"
    assert list(Path("work/locks").iterdir()) == []


def test_what_depends_on_a_failed_stage_is_skipped(execute: Any) -> None:
    made = walk(execute, Store())
    made.states["sft"].state, made.states["evaluate.sft"].state = "failed", "waiting"
    made._consider(made.states["evaluate.sft"])
    assert (made.states["evaluate.sft"].state, made.states["evaluate.sft"].figure) == ("skipped", "needs sft")


class Cause(Exception):
    """What Ray wraps around an error of a worker."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


def test_errors_of_workers_in_one_line(execute: Any) -> None:
    assert execute.one_line(Cause(StageError("its own words"))) == "its own words"
    assert execute.one_line(Cause(ValueError("first\n\nlast"))) == "ValueError: last"
    assert execute.one_line(ValueError()) == "ValueError: "
    assert len(execute.one_line(ValueError("x" * 5000))) == 1000
    for name in ("WorkerCrashedError", "OutOfMemoryError", "ActorDiedError"):
        died = type(name, (Exception,), {})
        assert "out of memory, or killed" in execute.one_line(died())
