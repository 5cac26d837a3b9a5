"""`orch logs`: which stages of a run have a log, its contents and origin, and the message if there is none."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import orchestrator.commands.logs as module
from orchestrator.commands.diagnose import diagnose_run
from orchestrator.commands.logs import RunLogs, StageLog, logs
from orchestrator.errors import InputError, StageError
from orchestrator.plan.plan import TrialsPlan, compile_plan, compile_recipe
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.cost import cost_of
from orchestrator.runs.crew import Done
from orchestrator.runs.past import past_run
from orchestrator.runs.progress import Branch
from orchestrator.runs.record import Record
from orchestrator.runs.trials import TrialsRecord
from orchestrator.runs.work import WorkFolder
from orchestrator.runs.worker_log import FOLDER
from orchestrator.stages.context import Output
from orchestrator.store.memory import MemoryStore
from orchestrator.store.opening import using
from orchestrator.types import DataUsed
from tests.cli.test_cli import orch
from tests.conftest import Called, call
from tests.support.store import artifact, children

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
  again: {type: sft, model: sft, data: demonstrations}
"""


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    made = MemoryStore(Path("store"))
    with using(made):
        yield made


def begun(store: MemoryStore, *names: str) -> Branch:
    """A run in which these stages have started."""
    Path("r.yaml").write_text(RECIPE)
    plan = compile_plan(load_recipe("r.yaml"))
    branch = Branch(plan, Record(store, plan))
    branch.record.describe()
    for name in names:
        branch.record.started(branch.states[name])
        branch.states[name].state = "running"
    return branch


def work(branch: Branch, name: str, text: str) -> Path:
    """The work folder of a stage whose worker has written this text."""
    folder = Path("mlruns", "work", branch.states[name].stage.key)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / FOLDER / "worker.log").write_text(text)
    return folder


def finish(branch: Branch, name: str, text: str) -> None:
    folder = work(branch, name, text)
    stage = branch.states[name].stage
    file = folder / "output" / stage.output
    (file.parent if file.suffix else file).mkdir(parents=True)
    if file.suffix:
        file.write_text("results")
    context: Any = SimpleNamespace(output=folder / "output", work=folder)
    output = Output("", {}, (DataUsed("test", "evaluation", "", "", 2),) if stage.is_evaluation else ())
    branch.record.finished(branch.states[name], context, output, cost_of([], Done(None, 0.0, 1.0), 1.0, 0.0, None))


def states(found: RunLogs) -> dict[str, str]:
    return {one.stage: one.state for one in found.stages}


def test_stages_are_listed_and_those_that_failed_are_shown(store: MemoryStore) -> None:
    branch = begun(store, "sft", "evaluate.sft", "evaluate.base")
    finish(branch, "sft", "step 1\nstep 2\n")
    branch.fail(branch.states["evaluate.sft"], ValueError("the judge\nwent away"), "judging\n")
    branch.fail(branch.states["evaluate.base"], StageError("no room"), "")
    found = logs("test")
    assert states(found) == {"sft": "finished", "evaluate.sft": "failed", "evaluate.base": "failed"}
    assert [one.stage for one in found.shown] == ["evaluate.sft", "evaluate.base"]
    assert {one.stage: one.lines for one in found.stages}["sft"] == 2
    ours, theirs = (str(one.text) for one in found.shown)
    assert ours.startswith("judging\n") and "ValueError: the judge" in ours
    assert ours.endswith("stage 'evaluate.sft' failed: ValueError: went away\n")
    assert theirs == "stage 'evaluate.base' failed: no room\n", "an expected error needs no traceback"
    assert [one.text for one in logs(found.run_id[:6], "sft").shown] == ["step 1\nstep 2\n"]
    assert logs("last", "base").shown[0].stage == "evaluate.base"


def test_a_traceback_that_the_worker_has_written_is_not_written_again(store: MemoryStore) -> None:
    branch, written = begun(store, "sft"), "Traceback (most recent call last)\nValueError: no\n"
    error = RuntimeError("as Ray wraps it")
    error.cause = ValueError("no")  # type: ignore[attr-defined]
    branch.fail(branch.states["sft"], error, written)
    assert logs().shown[0].text == written + "stage 'sft' failed: ValueError: no\n"


def test_a_store_that_takes_no_log_does_not_hide_the_failure(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = begun(store, "sft")
    monkeypatch.setattr(store, "log_file", lambda *_: 1 / 0)
    branch.fail(branch.states["sft"], StageError("why"), "text")
    assert branch.states["sft"].error == "stage 'sft' failed: why"
    with pytest.raises(InputError, match=r"has stored no logs?: .*"):
        logs("last", "sft")


def test_a_reused_stage_has_the_log_of_the_run_that_made_it(store: MemoryStore) -> None:
    first = begun(store, "sft", "evaluate.sft")
    for name in ("sft", "evaluate.sft"):
        finish(first, name, f"{name}\n")
    origin = str(first.states["sft"].run_id)
    second = begun(store)
    for name in ("sft", "evaluate.sft"):
        second.reuse(second.states[name], origin)
    found = logs("last")
    assert found.run_id == second.record.parent and states(found) == {"sft": "reused", "evaluate.sft": "reused"}
    assert [(one.made_by, one.text) for one in found.stages] == [(origin, "sft\n"), (origin, "evaluate.sft\n")]
    assert {one.reused_from for one in found.stages} == {first.record.parent}, "as `orch runs` lists it"
    assert [one.reused_from for one in logs(first.record.parent).stages] == [None, None]


def test_a_stage_that_is_at_work_or_was_killed_has_what_there_is_so_far(store: MemoryStore) -> None:
    branch = begun(store, "sft", "evaluate.base")
    folder = WorkFolder(Path("mlruns", "work"))
    for name in ("sft", "evaluate.base"):
        work(branch, name, f"{name} so far\n")
        folder.note(branch.states[name].stage.key, branch.about(branch.states[name]))
    lock = folder.lock(branch.states["sft"].stage.key)
    assert lock is not None
    found = logs()
    assert states(found) == {"sft": "running", "evaluate.base": "interrupted"} and found.shown == ()
    assert logs("last", "sft").shown[0].text == "sft so far\n"
    folder.release(lock)
    assert states(logs())["sft"] == "interrupted"
    folder.remove(branch.states["sft"].stage.key)
    with pytest.raises(InputError, match="stage 'sft' has stored no log: its workers have written nothing yet"):
        logs("last", "sft")


def test_trials_are_looked_at_together_and_what_they_share_once(store: MemoryStore) -> None:
    Path("r.yaml").write_text(RECIPE + "seeds: [0, 1]\n")
    plan = compile_recipe(load_recipe("r.yaml"))
    assert isinstance(plan, TrialsPlan)
    above = TrialsRecord(store, plan)
    branches = [
        Branch(trial.plan, Record(store, trial.plan, (), None, above.parent, trial, above.shown), (), trial.title)
        for trial in plan.trials
    ]
    for branch in branches:
        branch.record.describe()
        branch.record.started(branch.states["sft"])
    branches[0].record.started(branches[0].states["evaluate.base"])
    finish(branches[0], "evaluate.base", "asked\n")
    branches[1].reuse(branches[1].states["evaluate.base"], branches[0].record.origins["evaluate.base"])
    finish(branches[0], "sft", "well\n")
    branches[1].fail(branches[1].states["sft"], StageError("badly"))
    found = logs()
    assert [(one.trial, one.stage, one.state) for one in found.stages] == [
        ("seed 0", "sft", "finished"),
        ("seed 0", "evaluate.base", "finished"),
        ("seed 1", "sft", "failed"),
    ]
    assert [one.title for one in found.shown] == ["seed 1  sft"]
    assert [one.trial for one in logs("last", "sft").shown] == ["seed 0", "seed 1"]
    assert [one.trial for one in logs("last", "sft", seed=1).shown] == [""]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("stf", "unknown stage 'stf'; did you mean 'sft'? (choices: sft)"),
        ("again", "stage 'again' has not begun, so it has no log; begun so far: sft"),
    ],
)
def test_a_stage_that_is_not_there_is_one_line(store: MemoryStore, stage: str, said: str) -> None:
    finish(begun(store, "sft"), "sft", "text\n")
    with pytest.raises(InputError) as caught:
        logs("last", stage)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("stage", [None, "sft"])
def test_a_run_of_an_older_version_kept_none(store: MemoryStore, stage: str | None) -> None:
    branch = begun(store, "sft")
    store.end(str(branch.states["sft"].run_id), "FAILED", "out of memory")
    store.end(branch.record.parent, "FAILED", "stage 'sft' failed: out of memory")
    with pytest.raises(InputError, match="was created by a version of orch that stored none") as caught:
        logs("last", stage)
    assert "\n" not in str(caught.value)
    assert stage or "it failed: stage 'sft' failed: out of memory" in str(caught.value)


# --- on the real stack


def test_every_stage_of_a_run_has_a_log(small_run: tuple[Path, Called]) -> None:
    folder, run = small_run
    called = call(folder, "logs", "small", "--json")
    assert called.code == 0, called.err
    found = called.json
    made = {one["name"] for one in run.json["stages"]}
    assert {one["stage"] for one in found["stages"]} == made and found["run_id"] == run.json["run_id"]
    assert all(one["state"] == "finished" and one["lines"] >= 2 and one["text"] is None for one in found["stages"])
    assert [line.split()[0] for line in called.err.splitlines()[2:-1]] == [one["stage"] for one in found["stages"]]
    one = call(folder, "logs", "last", "sft")
    kept = artifact(children(folder, found["run_id"])["sft"], "logs/sft.txt").read_text()
    assert one.code == 0 and one.out == kept and one.err == ""
    assert "sft, job 1 of 1: started" in kept and "step 40: loss " in kept and "assembling its output" in kept
    assert not list((folder / "mlruns" / "work").glob("*/logs"))


def test_what_the_terminal_gets_is_plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = StageLog("sft", "", "failed", "no", "a" * 32, "a" * 32, "\x1b[31m[red]x[/red]\nlast\n")
    found = RunLogs("a" * 32, "test", "failed", None, (hostile,), (hostile,))
    monkeypatch.setattr(module, "logs", lambda *_: found)
    assert orch("logs") == 0
    out = capsys.readouterr().out
    assert "\\x1b[31m[red]x[/red]\nlast\n" in out and "orch logs aaaaaaaa STAGE" in out


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """A run whose training raises an unexpected error on a worker."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "r.yaml").write_text(RECIPE.replace("{type: sft}", "{type: sft, max_steps: 2, optim: adamw_bnb_8bit}"))
    return folder, call(folder, "run", "r.yaml", "--json")


def test_a_failed_run_names_the_way_to_the_traceback(
    failed_run: tuple[Path, Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = failed_run
    run_id = run.json["run_id"]
    assert run.code == 1 and f"orch logs {run_id[:8]}" in run.err and "Traceback" not in run.err
    called = call(folder, "logs", run_id[:8])
    assert called.code == 0 and called.out.count("Traceback (most recent call last)") == 1
    assert "== sft\n" in called.out and "in train\n" in called.out and "stage 'sft' failed: " in called.out
    monkeypatch.chdir(folder)
    found = diagnose_run(past_run()[0], ["sft"])
    first = found.findings[0]
    assert (first.check, first.severity) == ("stage-failed", "error") and first.what.startswith("stage sft failed: ")
    assert f"orch logs {run_id[:8]} sft" in first.evidence and found.in_question is None
    assert json.dumps(found.as_json()) and not any(f.check == "look-failed" for f in found.findings)
