"""Shell completion, requested as bash, zsh and fish do."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import VERB_TAG, WHOLE_RUN
from tests.conftest import SMALL, command, environment


def completed(*words: str, shell: str = "bash") -> list[str]:
    """The completions that a shell offers for the last of these words."""
    asked = {"_TYPER_COMPLETE_ARGS": " ".join(["orch", *words]), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked |= {"COMP_WORDS": "\n".join(["orch", *words]), "COMP_CWORD": str(len(words))}
    called = subprocess.run(
        command(), env=environment() | asked | {"_ORCH_COMPLETE": f"complete_{shell}"}, capture_output=True, text=True
    )
    assert called.stderr == "" and called.returncode == 0, called.stderr
    return [line for line in called.stdout.splitlines() if line]


def test_verbs_and_options() -> None:
    assert completed("re") == ["rerun", "report", "rejudge"]
    assert "--resolved" in completed("plan", "--re")


def test_recipes_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("recipes/rft.yaml", "recipes/deep/a.yml", "recipes/notes.txt", "real.yaml", ".hidden/x.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert completed("run", "re") == ["real.yaml", "recipes/"]
    assert completed("run", "recipes/") == ["recipes/deep/", "recipes/rft.yaml"]
    assert completed("run", f"{tmp_path}/recipes/r") == [f"{tmp_path}/recipes/rft.yaml"]
    assert completed("run", "nowhere/") == []


def test_dotted_keys_of_the_recipe() -> None:
    assert completed("run", str(SMALL), "stages.rft.learn") == ["stages.rft.learning_rate="]
    assert "stages.sft.resources.gpus=" in completed("sweep", str(SMALL), "stages.sft.")
    assert completed("run", "nowhere.yaml", "stages.") == []


def test_runs(mlflow_store: MlflowStore) -> None:
    run = mlflow_store.start(mlflow_store.experiment("words"), "words", {VERB_TAG: WHOLE_RUN}, {})
    assert completed("report", "") == ["last", "words", run[:8]]
    assert completed("ask", "wo") == ["words"]
    assert completed("rerun", run[:3]) == [run[:8]]
    assert completed("report", run[:3], shell="fish") == [f"{run[:8]}\twords, running"]
    assert f'"{run[:8]}":"words, running"' in "".join(completed("report", run[:3], shell="zsh"))


def test_where_there_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed("report", "") == ["last"]
    assert list(tmp_path.iterdir()) == [], "a lookup writes nothing"
