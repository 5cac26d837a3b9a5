"""The command line: exit codes, output streams, and that bad input writes nothing."""

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator import cli
from orchestrator.cli.options import begins
from orchestrator.errors import Interrupted, OrchError, TrackingError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import ModelResult, RunResult
from orchestrator.store.machine import kind_of_machine
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import BASE_TAG, KEY_TAG, MACHINE_TAG, MODEL_TAG, VERB_TAG
from orchestrator.store.opening import using
from tests.conftest import call

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, train: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
"""


@pytest.fixture(autouse=True)
def _recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.yaml").write_text(RECIPE)
    monkeypatch.setattr(cli, "_quiet", lambda: None)


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if anything opens or creates a store."""

    def refuse() -> None:
        raise AssertionError("the store was opened")

    monkeypatch.setattr("orchestrator.store.opening.connect", refuse)


def orch(*arguments: str) -> int:
    """Call `orch` in this process; return its exit code."""
    before = sys.argv
    sys.argv = ["orch", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = before
    return 0


def test_help_lists_every_verb_once_under_its_purpose_with_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert orch("--help") == 0
    shown = capsys.readouterr().out
    for purpose, verbs in cli.VERBS.items():
        listed = shown.split(f"{purpose}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == [verb.__name__ for verb in verbs]
        first = [str(verb.__doc__).split("\n\n")[0].split(". ")[0] for verb in verbs]
        assert all(" ".join(sentence.split()) in " ".join(listed.split()) for sentence in first)
    assert max(map(len, shown.splitlines())) <= 80


def here() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


def ends_with(monkeypatch: pytest.MonkeyPatch, ending: Callable[[], RunResult]) -> None:
    """Make `orch run` end like this."""
    monkeypatch.setattr("orchestrator.commands.run.run", lambda recipe, listener: ending())


def raises(error: BaseException) -> Callable[[], RunResult]:
    def ending() -> RunResult:
        raise error

    return ending


# --- bad input


@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (["nowhere.yaml"], ["nowhere.yaml: no such recipe; `orch init --list` shows recipes to start from"]),
        (["."], [".: is a folder; name a recipe, a .yaml file"]),
        (["r.yaml", "seed"], ["override 'seed': must read key=value, such as stages.rft.learning_rate=1e-4"]),
        (["r.yaml", "seed=x", "model.nme=y"], ["override model.nme: unknown key 'nme'", "override seed: input should"]),
        (["r.yaml", "task.test={file: nowhere.json}"], ["nowhere.json: there is no such file"]),
        (["r.yaml", "model.name=./nowhere"], ["model.name: ./nowhere: no such folder"]),
        (["--json", "r.yaml", "stages.sft.data=x"], ["override stages.sft.data: unknown stage 'x'"]),
    ],
)
@pytest.mark.usefixtures("no_store")
def test_bad_input_is_one_line_a_problem_and_writes_nothing(
    verb: str, arguments: list[str], problems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = here()
    assert orch(verb, *arguments) == 2
    out, err = capsys.readouterr()
    assert here() == before
    assert out == "" or (verb == "run" and out.endswith("  test: reading the store\n") and out.count("\n") == 1)
    lines = err.splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"orch: {problem}"), line


@pytest.mark.parametrize(
    "arguments",
    [
        ["rnu"],
        ["run"],
        ["run", "--nope", "r.yaml"],
        ["plan"],
        ["ui", "--port", "0"],
        ["ui", "--port", "x"],
        ["ui", "x"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = here()
    assert orch(*arguments) == 2
    assert "Usage" in capsys.readouterr().err and here() == before


@pytest.mark.usefixtures("no_store")
def test_the_ui_of_a_store_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert orch("ui") == 2
    uri = f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"
    assert capsys.readouterr().err.startswith(f"orch: there is no store at {uri} yet; run a recipe")


def test_a_process_of_its_own_ends_the_same_way(tmp_path: Path) -> None:
    before = here()
    called = call(tmp_path, "run", "nowhere.yaml")
    assert (called.code, called.out) == (2, "")
    assert called.err == "orch: nowhere.yaml: no such recipe; `orch init --list` shows recipes to start from\n"
    assert here() == before


# --- plan


@pytest.mark.usefixtures("no_store")
def test_a_plan_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    before = here()
    assert orch("plan", "r.yaml") == 0
    assert "3 of 3 stages to run" in capsys.readouterr().out
    assert orch("plan", "r.yaml", "--json", "name=other") == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert err == "" and made["recipe"] == "r.yaml" and here() == before
    assert [stage["name"] for stage in made["stages"]] == ["sft", "evaluate.base", "evaluate.sft"]
    assert made["stages"][2]["inputs"] == ["sft"] and made["stages"][2]["cached"] is False


def test_a_plan_shows_what_the_store_holds(capsys: pytest.CaptureFixture[str]) -> None:
    store, stage = MemoryStore(Path("store")), compile_plan(load_recipe("r.yaml")).stage("sft")
    experiment = store.experiment("test")
    trained = store.start(experiment, "sft", {VERB_TAG: "sft", KEY_TAG: stage.key}, {})
    Path("made/model").mkdir(parents=True)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        Path("made/model", file).write_text("x")
    store.log(trained, {}, store.log_folder(trained, Path("made"), "model"))
    tags = {VERB_TAG: "evaluate", BASE_TAG: "tiny", MODEL_TAG: "base", MACHINE_TAG: kind_of_machine()}
    asked = store.start(experiment, "base", tags, {})
    store.log(asked, {"n": 4, "eval/seconds": 9})
    for run_id in (trained, asked):
        store.end(run_id, "FINISHED")
    with using(store):
        assert orch("plan", "r.yaml", "--json") == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert stages[0]["forecast"] is None and stages[1]["forecast"]["how"] == "scaled"
    assert [(stage["cached"], stage["run_id"]) for stage in stages] == [(True, trained), (False, None), (False, None)]


# --- run

MODEL = ModelResult("sft", 0.5, 0.4, 0.6, 1.0, 100)


def test_a_run_that_is_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(monkeypatch, lambda: RunResult("id", "test", (MODEL,), ()))
    assert orch("run", "r.yaml") == 0
    out, err = capsys.readouterr()
    assert "0.500 [0.400, 0.600]" in out and err == ""


def test_json_is_one_object_on_stdout_and_the_rest_is_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(monkeypatch, lambda: RunResult("id", "test", (MODEL,), ()))
    assert orch("run", "--json", "r.yaml") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and json.loads(out)["models"][0]["accuracy"] == 0.5
    assert "0.500 [0.400, 0.600]" in err


def test_a_failed_stage_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(monkeypatch, lambda: RunResult("id", "test", (), (), errors=("stage 'sft' failed: why",)))
    assert orch("run", "r.yaml", "--json") == 1
    out, err = capsys.readouterr()
    assert "stage 'sft' failed: why" in err and json.loads(out)["errors"] == ["stage 'sft' failed: why"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Interrupted("interrupted; what was finished is kept"), 130, "orch: interrupted; what was finished is kept\n"),
        (TrackingError("the store is away"), 2, "orch: the store is away\n"),
        (OrchError("one", "two"), 1, "orch: one\norch: two\n"),
    ],
)
def test_errors_for_the_user(
    error: OrchError, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(monkeypatch, raises(error))
    assert orch("run", "r.yaml") == code
    assert capsys.readouterr().err == said


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    ends_with(monkeypatch, raises(KeyboardInterrupt()))
    assert orch("run", "r.yaml") == 130


def test_a_bug_is_not_dressed_up_as_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    ends_with(monkeypatch, raises(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        orch("run", "r.yaml")


def test_a_size_limit_of_no_bundle_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert orch("export", "last", "out", "--bundle-mb", "5") == 2
    assert capsys.readouterr().err.startswith("orch: --bundle-mb is the size limit of the zip that --bundle makes")


def test_without_a_terminal_a_line_comes_before_libraries_are_loaded(at_noon: None) -> None:
    for terminal, said in ((False, "12:00:00  units: reading the store\n"), (True, "")):
        console = Console(file=(file := StringIO()), force_terminal=terminal)
        begins(console, "units")
        assert file.getvalue() == said
