"""The store's answers when part of it was lost, or when it has grown large."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.plan import plan
from orchestrator.errors import TrackingError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store.mlflow import MlflowStore
from tests.conftest import SMALL, Called, call, environment
from tests.support.store import artifact, children, runs

Run = tuple[Path, Called]
LOST: list[tuple[str, str, Callable[[Path], Any], list[str]]] = [
    ("sft", "model", shutil.rmtree, ["sft"]),
    ("rft", "model/adapter_model.safetensors", Path.unlink, ["rft"]),
    ("grpo", "model/adapter_model.safetensors", lambda file: file.write_bytes(b""), ["grpo"]),
    ("samples", "completions.parquet", Path.unlink, ["samples"]),
    ("chosen", "chosen.parquet", lambda file: file.write_bytes(b""), ["chosen"]),
    ("rft", "eval/results.parquet", Path.unlink, ["evaluate.rft"]),
    ("base", "eval", shutil.rmtree, ["evaluate.base"]),
    ("rft", "eval/samples.json", Path.unlink, []),
]


@pytest.mark.parametrize(("run", "name", "lose", "made_anew"), LOST, ids=[f"{run}-{name}" for run, name, *_ in LOST])
def test_a_stage_whose_output_is_lost_is_not_made(
    small_copy: Path, small_run: Run, run: str, name: str, lose: Callable[[Path], Any], made_anew: list[str]
) -> None:
    recipe = load_recipe(SMALL)
    assert all(stage.cached for stage in plan(recipe).stages)
    lose(artifact(children(small_copy, small_run[1].json["run_id"])[run], name))
    assert [stage.name for stage in plan(recipe).stages if stage.cached is None] == made_anew


def test_a_model_that_is_lost_is_trained_again(small_copy: Path, small_run: Run) -> None:
    first = small_run[1].json["run_id"]
    shutil.rmtree(artifact(children(small_copy, first)["rft"], "model"))
    called = call(small_copy, "run", str(SMALL), "evaluate.models=[rft]", "--json")
    assert called.code == 0, called.err
    assert [s["name"] for s in called.json["stages"] if not s["cached"]] == ["rft"]
    again = children(small_copy, called.json["run_id"])["rft"]
    assert artifact(again, "model/adapter_model.safetensors").stat().st_size > 0
    found = {stage.name: stage.cached for stage in plan(load_recipe(SMALL)).stages}
    assert found["rft"] == again.info.run_id and None not in found.values()


def test_a_run_is_found_by_the_beginning_of_its_id_however_many_there_are(small_copy: Path, small_run: Run) -> None:
    first, store = small_run[1].json["run_id"], MlflowStore()
    before = len(runs(small_copy))
    with closing(sqlite3.connect(small_copy / "mlruns" / "mlflow.db")) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        newer = {"run_uuid": "'z' || printf('%031d', number)", "start_time": "start_time + 1000 + number"}
        database.execute(
            "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 1100) "
            f"INSERT INTO runs ({', '.join(columns)}) SELECT {', '.join(newer.get(c, c) for c in columns)} "
            "FROM runs, numbers WHERE run_uuid = ?",
            (first,),
        )
    assert len(runs(small_copy)) == 1000 > before, "one page of the search, and the run is not on it"
    assert store.find(first[:10]).run_id == store.find(first).run_id == first
    with pytest.raises(TrackingError, match=r"^1100 runs begin with 'z00'"):
        store.find("z00")
    for wanted in ("zz", "%", "_" * 32, "' OR 1=1", ""):
        with pytest.raises(TrackingError, match="no run"):
            store.find(wanted)


def test_a_store_in_a_folder_with_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a ?#%20°C'\"é"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = MlflowStore()
    for name in ("..", "../x?%20", "日" * 200):
        experiment = store.experiment(name)
        run = store.start(experiment, name, {"orch.recipe": "a\udcff.yaml"}, {"units": {"°C": 1, "€C": 2}, "..": 3})
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / "completions.parquet").write_text("x")
        store.log_folder(run, tmp_path / "made")
        store.end(run, "FINISHED")
        assert store.find(run).experiment == name and store.experiment(name) == experiment
        kept = store.artifact(run, "completions.parquet")
        assert kept.read_text() == "x" and kept.is_relative_to(place / "mlruns" / "artifacts")
        assert store.address(run, "completions.parquet") == str(kept)
        assert store.find(run).params == {"units._C": "1", "units._C_2": "2", "_..": "3"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [place.name, "made"], "nothing is written next to it"
    assert [entry.name for entry in place.iterdir()] == ["mlruns"]


def test_a_store_whose_making_was_killed_is_made_whole(tmp_path: Path) -> None:
    """MLflow's own migrations fail if one of them was cut short."""
    opening = "from orchestrator.store.mlflow import MlflowStore; MlflowStore()"
    new = environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache")}  # no tables are cached there yet
    begun = subprocess.Popen([sys.executable, "-c", opening], cwd=tmp_path, env=new)
    while not list(tmp_path.glob("mlruns/.new-store-*/mlflow.db-journal")) and begun.poll() is None:
        time.sleep(0.001)
    begun.kill()
    begun.wait()
    left = sorted(entry.name for entry in (tmp_path / "mlruns").iterdir())
    assert "mlflow.db" not in left and any(name.startswith(".new-store-") for name in left), "it was killed midway"
    again = subprocess.run([sys.executable, "-c", opening], cwd=tmp_path, env=new, capture_output=True)
    assert again.returncode == 0, again.stderr.decode()
    assert sorted(entry.name for entry in (tmp_path / "mlruns").iterdir()) == ["mlflow.db", "opening.lock"]


def test_tables_are_made_once_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def made(name: str) -> list[str]:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        [default] = MlflowStore().client.search_experiments()
        assert default.artifact_location == f"{(folder / 'mlruns' / 'artifacts').as_uri()}/0"
        with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database:
            return [text for (text,) in database.execute("SELECT sql FROM sqlite_master ORDER BY name")]

    first = made("one")
    [kept] = (tmp_path / "cache" / "orch").iterdir()
    written = kept.stat().st_mtime_ns
    assert made("two") == first and kept.stat().st_mtime_ns == written, "it was copied"
    os.truncate(kept, kept.stat().st_size // 2)
    assert made("three") == first, "a damaged cache is rebuilt"
    assert made("four") == first and kept.stat().st_mtime_ns > written


def test_an_empty_file_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlruns").mkdir()
    Path("mlruns/mlflow.db").touch()
    assert [experiment.name for experiment in MlflowStore().experiments()] == ["Default"]
