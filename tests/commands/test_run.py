"""How a run's failures and interruptions are recorded in the store.

The walk itself is tested on the real stack.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import orchestrator.commands.run as execute
from orchestrator.errors import Interrupted, RefusalError, StageError
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import RunResult
from orchestrator.runs.cost import cost_of
from orchestrator.runs.crew import Done
from orchestrator.runs.failure import one_line
from orchestrator.runs.state import RunState, StageState
from orchestrator.runs.work import WorkFolder
from orchestrator.stages.base import Output
from orchestrator.store.base import Store
from orchestrator.store.memory import MemoryStore
from orchestrator.types import Finding

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runs.scheduler.disconnect", lambda: None)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(Path("store"))


def statuses(store: Store) -> dict[str, str]:
    """The statuses by run name; the run above the stages has the recipe's name."""
    return {run.name: run.status for run in store.runs()}


def errors(store: Store) -> dict[str, str | None]:
    return {run.name: run.error for run in store.runs()}


def plan() -> Plan:
    Path("r.yaml").write_text(RECIPE)
    return compile_plan(load_recipe("r.yaml"))


def walk(store: Store) -> tuple[Any, Any]:
    """A walk of a small recipe in which training is done and both evaluations are running; and its only branch."""
    made = plan()
    branch = execute.Branch(made, execute.Record(store, made))
    for name in ("sft", "evaluate.sft", "evaluate.base"):
        branch.record.started(branch.states[name])
        branch.states[name].state, branch.states[name].started = "running", 0.0
    branch.states["sft"].state = "done"
    store.end(str(branch.states["sft"].run_id), "FINISHED")
    return execute.Walk([branch], store, WorkFolder(Path("work")), None, lambda states: None), branch


def at_work(walk: Any, branch: Any, name: str) -> None:
    """Mark a stage as running."""
    from orchestrator.runs.running import Running

    branch.states[name].at_work = True
    lock = walk.work.lock(name)
    state = branch.states[name]
    walk.running[state.stage.key] = Running(branch, state, None, lock, None, [], [], [], 0, None)  # type: ignore[arg-type]


def test_an_evaluation_that_fails_does_not_undo_the_training(store: MemoryStore) -> None:
    _, branch = walk(store)
    for name in ("evaluate.sft", "evaluate.base"):
        branch.fail(branch.states[name], StageError("why"))
    assert statuses(store) == {"sft": "FINISHED", "base": "FAILED", "test": "RUNNING"}
    assert errors(store) == {"sft": "why", "base": "why", "test": None}
    assert branch.states["evaluate.sft"].error == "stage 'evaluate.sft' failed: why"


def test_a_stage_that_fails_ends_its_run(store: MemoryStore) -> None:
    _, branch = walk(store)
    branch.fail(branch.states["sft"], StageError("why"))
    assert statuses(store)["sft"] == "FAILED"


def test_a_stage_that_could_not_be_written_to_its_end_is_not_made(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, branch = walk(store)
    state, real = branch.states["sft"], store.end
    context: Any = SimpleNamespace(output=Path("made"), work=Path("work"))
    (context.output / "model").mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise RefusalError("no")

    monkeypatch.setattr(store, "end", refuse)
    with pytest.raises(RefusalError):
        branch.record.finished(
            state, context, Output("", {"rows": 3.0}), cost_of([], Done(None, 0.0, 1.0), 1.0, 0.0, None)
        )
    monkeypatch.setattr(store, "end", real)
    branch.fail(state, RefusalError("no"))
    assert "sft" not in branch.record.origins and statuses(store)["sft"] == "FAILED"
    assert store.find(str(state.run_id)).metrics["rows"] == 3.0


def test_findings_of_a_stage_may_be_written_later(store: MemoryStore) -> None:
    jobs: list[tuple[str, str, Any]] = []
    made = plan()
    record = execute.Record(store, made, (), lambda *job: jobs.append(job))
    state = StageState(made.stage("sft"))
    record.started(state)
    record.noticed(state, Finding("odd", "warning", "what", "", "", ""))
    run = store.find(str(state.run_id))
    assert run.params["seed"] == "0" and run.params["type"] == "sft" and "orch.finding.odd" not in run.tags
    [(run_name, owner, job)] = jobs
    job()
    run = store.find(str(state.run_id))
    assert owner == made.stage("sft").key and run_name == made.recipe.name
    assert run.tags["orch.finding.odd"].startswith("warning: what")


def test_what_was_found_before_a_run_stays_with_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _, branch = walk(store)
    found = Finding("test-in-training", "info", "7 of 100 test questions appear in task.train", "", "", "")
    monkeypatch.setattr("orchestrator.runs.record.result", lambda *_: RunResult("parent", "test", (), ()))
    monkeypatch.setattr("orchestrator.runs.record.show_models", lambda *_: None)
    branch.record.ended([], (found,))
    tags = store.find(branch.record.parent).tags
    assert tags["orch.finding.test-in-training"].startswith("info: 7 of 100 test questions")


def test_a_walk_that_is_given_up_lets_go_of_its_locks(store: MemoryStore) -> None:
    made, branch = walk(store)
    for name in ("evaluate.sft", "evaluate.base"):
        at_work(made, branch, name)
    made.stop()
    assert statuses(store) == {"sft": "FINISHED", "base": "RUNNING", "test": "RUNNING"}
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
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    told: type[BaseException],
    status: str,
    why: str,
) -> None:
    def go(walk: Any) -> None:
        raise raised

    monkeypatch.setattr(execute.Walk, "go", go)
    with pytest.raises(told):
        execute._carry_out(plan(), store, WorkFolder(Path("work")), None, RunState("test"))
    assert statuses(store) == {"test": status} and errors(store) == {"test": why}
    assert store.process and list(Path("work/locks").iterdir()) == []


def test_an_interruption_while_the_run_is_made_closes_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "log_file", interrupts)
    with pytest.raises(Interrupted):
        execute._carry_out(plan(), store, WorkFolder(Path("work")), None, RunState("test"))
    assert statuses(store) == {"test": "KILLED"}


def test_of_several_evaluations_in_one_run_those_that_are_made_are_kept(store: MemoryStore) -> None:
    Path("more.json").write_text('[["How many cm are 2 m?", 200], ["How many cm are 3 m?", 300]]')
    Path("r.yaml").write_text(
        RECIPE.replace("test: {", "further: {more: {file: more.json}}, test: {") + "evaluate: {also: more}\n"
    )
    made = compile_plan(load_recipe("r.yaml"))
    record = execute.Record(store, made)
    base = {stage.name: stage for stage in made.stages if stage.run_name == "base"}
    assert list(base) == ["evaluate.base", "evaluate.base.more"]
    states = {name: StageState(stage) for name, stage in base.items()}
    for state in states.values():
        record.started(state)
    run_id = str(states["evaluate.base"].run_id)
    record.origins = {"evaluate.base.more": run_id}
    record._close(base["evaluate.base.more"], None)
    assert statuses(store)["base"] == "RUNNING", "the other is not done yet"
    record.keep_made()
    assert statuses(store)["base"] == "FINISHED"
    store.end(run_id, "RUNNING")
    record._close(base["evaluate.base"], "why")
    assert (statuses(store)["base"], errors(store)["base"]) == ("FINISHED", "why")


def test_a_run_whose_figures_cannot_be_read_back_is_not_left_running(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise FileNotFoundError("eval/results.parquet")

    def walks(walk: Any) -> None:
        walk.branches[0].close()

    monkeypatch.setattr(execute.Walk, "go", walks)
    monkeypatch.setattr(execute.Record, "ended", breaks)
    result = execute._carry_out(plan(), store, WorkFolder(Path("work")), None, RunState("test"))
    assert any("FileNotFoundError: eval/results.parquet" in error for error in result.errors)
    assert statuses(store) == {"test": "FAILED"}
    assert "FileNotFoundError: eval/results.parquet" in str(errors(store)["test"])
    assert list(Path("work/locks").iterdir()) == []


def test_what_depends_on_a_failed_stage_is_skipped(store: MemoryStore) -> None:
    _, branch = walk(store)
    branch.states["sft"].state, branch.states["evaluate.sft"].state = "failed", "waiting"
    assert not branch.ready(branch.states["evaluate.sft"])
    state = branch.states["evaluate.sft"]
    assert (state.state, state.figure) == ("skipped", "needs sft")


class Cause(Exception):
    """Wraps a worker's exception, as Ray does."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


def test_errors_of_workers_in_one_line() -> None:
    assert one_line(Cause(StageError("its own words"))) == "its own words"
    assert one_line(Cause(ValueError("first\n\nlast"))) == "ValueError: last"
    assert one_line(ValueError()) == "ValueError: "
    assert len(one_line(ValueError("x" * 5000))) == 1000
    for name in ("WorkerCrashedError", "OutOfMemoryError", "ActorDiedError"):
        died = type(name, (Exception,), {})
        assert "out of memory, or killed" in one_line(died())
