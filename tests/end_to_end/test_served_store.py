"""A store behind MLflow's own server, as docker-compose.yml starts it: a run, the same run again, a second machine."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator import report
from orchestrator.commands.ask import ask
from orchestrator.commands.diagnose import diagnose
from orchestrator.commands.plan import plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store.mlflow import MlflowStore
from tests.conftest import Called, call, command, environment
from tests.report.test_run_page import Page
from tests.support.gate import Gate
from tests.support.served import mlflow_server

RECIPE = """\
name: served
task:
  type: units
  demonstrations: {generate: 16}
  train: {generate: 4}
  test: {generate: 8}
model: {name: tiny}
stages:
  sft:     {type: sft, data: demonstrations, learning_rate: 4e-3, max_steps: 10, per_device_train_batch_size: 4}
  samples: {type: sample, model: sft, prompts: train, n: 2, temperature: 0.8, max_tokens: 96, batch_size: 8}
  chosen:  {type: select, from: samples, allow_empty: true}
  rft:     {type: sft, model: sft, data: [demonstrations, chosen], max_steps: 2, per_device_train_batch_size: 4}
evaluate: {on: test, max_tokens: 96, batch_size: 8}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with an empty store that only the server can read."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def first(served: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a finished run against that store, and the outcome of the call."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "r.yaml").write_text(RECIPE)
    called = call(folder, "run", "r.yaml", "--json", MLFLOW_TRACKING_URI=served)
    assert called.code == 0, called.err
    return folder, called


def test_a_run_reads_back_what_it_wrote(served: str, first: tuple[Path, Called]) -> None:
    folder, called = first
    assert called.out.count("\n") == 1, "nothing but the JSON: no links to the server"
    found = called.json
    assert {s["state"] for s in found["stages"]} == {"done"} and len(found["stages"]) == 7
    assert [m["model"] for m in found["models"]] == ["base", "sft", "rft"]
    assert [d["model"] for d in found["differences"]] == ["base", "rft"], "paired by question"
    client = MlflowClient(tracking_uri=served)
    parent = client.get_run(found["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:")
    experiments = [parent.info.experiment_id]
    assert {r.info.status for r in client.search_runs(experiments)} == {"FINISHED"}
    assert not (folder / "mlruns" / "mlflow.db").exists()


def test_the_same_again_runs_nothing(served: str, first: tuple[Path, Called], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    for folder in (first[0], tmp_path):  # the second machine has no copies yet
        called = call(folder, "run", "r.yaml", "--json", MLFLOW_TRACKING_URI=served)
        assert called.code == 0, called.err
        assert all(s["cached"] for s in called.json["stages"])
        for same in ("run_id", "models", "differences"):
            assert called.json[same] == first[1].json[same]
    copies = [p for p in (tmp_path / "mlruns" / "downloads").rglob("*") if p.is_file()]
    assert {p.name for p in copies} == {"results.parquet"}, "only what is needed is copied"


def test_a_run_can_be_asked_and_diagnosed(
    served: str, first: tuple[Path, Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served)
    run_id = first[1].json["run_id"]
    asked = ask(run_id[:12], "How many m are in 2 km?", model="sft", max_tokens=16)
    assert (asked.run_id, asked.model) == (run_id, "sft")
    models = [p.parent for p in (tmp_path / "mlruns" / "downloads").glob("*/model")]
    assert len(models) == 1, "only the requested model was copied"
    found, _ = diagnose(run_id, models=["sft"])
    assert [(m.model, m.source, m.n) for m in found.models] == [("sft", "evaluation", 8)]
    assert not {"model-missing", "adapter-missing"} & {f.check for f in found.findings}
    listed = MlflowClient(tracking_uri=served).list_artifacts(run_id)
    assert "diagnosis.html" in {entry.path for entry in listed}


def test_the_report_lies_on_the_server_and_a_copy_is_never_an_old_one(
    served: str, first: tuple[Path, Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served)
    said, client = first[1].json, MlflowClient(tracking_uri=served)
    assert said["report"].startswith("mlflow-artifacts:") and said["report"].endswith("/report.html")
    assert f"orch report {said['run_id']} --open" in first[1].err
    shown = report(said["run_id"])
    assert not shown.made and shown.page.is_file() and "accuracy.svg" in {file.name for file in shown.figures}
    client.log_text(said["run_id"], "made elsewhere", "report.html")
    assert report(said["run_id"]).page.read_text() == "made elsewhere"
    anew = report(said["run_id"], force=True)
    assert anew.made and said["conclusions"][0] in Page(anew.page.read_text(encoding="utf-8")).text


def test_what_was_deleted_on_the_server_is_not_done(
    served: str, first: tuple[Path, Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served)
    Path("r.yaml").write_text(RECIPE)
    recipe = load_recipe("r.yaml")
    stages = {s["name"]: s["run_id"] for s in first[1].json["stages"]}
    client = MlflowClient(tracking_uri=served)
    for name, lost in (("rft", "model"), ("chosen", "chosen.parquet")):
        client._tracking_client._get_artifact_repo(stages[name]).delete_artifacts(lost)
    assert {s.name for s in plan(recipe).stages if s.cached is None} == {"rft", "chosen"}


@pytest.mark.slow
def test_a_store_that_is_lost_in_the_midst_of_a_run_is_waited_for_and_then_one_line(
    served: str, tmp_path: Path
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    gate = Gate(served)
    with (tmp_path / "stderr").open("wb") as errors, (tmp_path / "stdout").open("wb") as output:
        running = subprocess.Popen(
            command("run", "r.yaml", "name=lost", "seed=1", "limits.wait_for_store=0.5"),
            cwd=tmp_path,
            env=environment() | {"MLFLOW_TRACKING_URI": gate.address},
            stdout=output,
            stderr=errors,
        )

    def until(there: Callable[[], object]) -> None:
        while not there():
            assert running.poll() is None, (tmp_path / "stderr").read_text()
            time.sleep(0.05)

    until(lambda: list((tmp_path / "mlruns" / "work").glob("*/journal.jsonl")))
    gate.shut()
    away = f"the store at {gate.address} is not responding; the run waits for it until "
    until(lambda: away in (tmp_path / "stdout").read_text())
    gate.reopen()
    until(lambda: "the store answers again" in (tmp_path / "stdout").read_text())
    gate.shut()
    assert running.wait(timeout=300) == 2
    said = (tmp_path / "stderr").read_text()
    assert "Traceback" not in said
    assert said.count("\n") - said[: said.index("orch: ")].count("\n") == 1, said
    assert f"orch: the MLflow store at {gate.address} cannot be reached or written" in said
    again = call(tmp_path, "run", "r.yaml", "name=lost", "seed=1", "--json", MLFLOW_TRACKING_URI=served)
    assert again.code == 0, again.err
    assert {s["state"] for s in again.json["stages"]} <= {"done", "cached"}


def test_copies_that_nobody_uses_are_not_kept_for_ever(
    served: str, first: tuple[Path, Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served)
    stages = {s["name"]: s["run_id"] for s in first[1].json["stages"]}
    copies, store, long_ago = tmp_path / "mlruns" / "downloads", MlflowStore(), time.time() - 31 * 24 * 3600
    for name, output in (("sft", "model"), ("samples", "completions.parquet")):
        assert store.artifact(stages[name], output).exists()
        os.utime(copies / stages[name], (long_ago, long_ago))
    store.artifact(stages["sft"], "model")
    store.artifact(stages["evaluate.base"], "eval/results.parquet")
    assert {p.name for p in copies.iterdir()} == {stages["sft"], stages["evaluate.base"]}
