"""The quick list of runs is what the store itself would say."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.commands.runs import runs
from orchestrator.errors import InputError
from orchestrator.store.listing import Unreadable, listed_experiments, listed_runs
from orchestrator.store.memory import MemoryStore
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import PARENT_TAG, SWEEP, VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import using
from tests.conftest import environment


def fill(store: MlflowStore, name: str = "units 'ü' %") -> list[str]:
    """A run, a sweep with a trial, another run that is deleted; the ids of those that are listed."""
    experiment = store.experiment(name)
    made = []
    for verb in (WHOLE_RUN, SWEEP, WHOLE_RUN, WHOLE_RUN):
        made.append(store.start(experiment, verb, {VERB_TAG: verb}, {"n": 1}))
        time.sleep(0.002)  # stores keep milliseconds
    store.start(experiment, "trial", {VERB_TAG: WHOLE_RUN, PARENT_TAG: made[1]}, {})
    store.start(experiment, "sft", {VERB_TAG: "sft", PARENT_TAG: made[0]}, {})
    store.end(made[0], "FINISHED")
    store.client.delete_run(made[2])
    return [made[3], made[1], made[0]]


def test_it_is_what_mlflow_says(mlflow_store: MlflowStore) -> None:
    wanted = fill(mlflow_store)
    found = listed_runs((WHOLE_RUN, SWEEP))
    assert [run.run_id for run in found] == wanted
    for run in found:
        said = mlflow_store.with_id(run.run_id)
        assert said is not None
        for name in ("name", "experiment", "status", "parent", "started", "ended", "location", "tags"):
            assert getattr(run, name) == getattr(said, name), name
    assert [run.run_id for run in listed_runs((WHOLE_RUN,), status="FINISHED")] == wanted[2:]
    assert [run.run_id for run in listed_runs((WHOLE_RUN, SWEEP), limit=2)] == wanted[:2]
    assert listed_runs((WHOLE_RUN,), experiment="other") == []
    assert sorted(listed_experiments()) == sorted(one.name for one in mlflow_store.experiments())


def test_however_many_there_are(mlflow_store: MlflowStore) -> None:
    [_, _, first] = fill(mlflow_store)
    with sqlite3.connect("mlruns/mlflow.db") as database:
        for table, column in (("runs", "run_uuid"), ("tags", "run_uuid")):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            copied = ", ".join("printf('%032d', number)" if one == column else one for one in columns)
            database.execute(
                "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 1200) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table}, numbers WHERE run_uuid = ?",
                (first,),
            )
    assert len(listed_runs((WHOLE_RUN, SWEEP))) == len(runs()) == 1203
    assert all(run.verb == WHOLE_RUN for run in listed_runs((WHOLE_RUN,)))


def test_where_it_cannot_be_read_the_store_is_asked(mlflow_store: MlflowStore, tmp_path: Path) -> None:
    wanted = fill(mlflow_store)
    with sqlite3.connect("mlruns/mlflow.db") as database:
        database.execute("ALTER TABLE tags RENAME TO tags_of_another_version")
        database.execute("CREATE VIEW tags AS SELECT key AS name FROM tags_of_another_version")
    with pytest.raises(Unreadable):
        listed_runs((WHOLE_RUN,))
    with sqlite3.connect("mlruns/mlflow.db") as database:
        database.execute("DROP VIEW tags")
        database.execute("ALTER TABLE tags_of_another_version RENAME TO tags")
    memory = MemoryStore(tmp_path / "memory")
    memory.start(memory.experiment("words"), "words", {VERB_TAG: WHOLE_RUN}, {})
    with using(memory):
        with pytest.raises(Unreadable):
            listed_experiments()
        assert [run.experiment for run in runs()] == ["words"]
    assert [run.run_id for run in runs()] == wanted
    with pytest.raises(InputError, match="unknown experiment"):
        runs("other")


def test_a_folder_with_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a ?#%20'é"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    wanted = fill(MlflowStore())
    assert [run.run_id for run in listed_runs((WHOLE_RUN, SWEEP))] == wanted


def test_listing_loads_no_mlflow(mlflow_store: MlflowStore) -> None:
    fill(mlflow_store)
    asks = "import sys; from orchestrator.commands.runs import runs; print(len(runs()), 'mlflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", asks], env=environment(), capture_output=True, text=True)
    assert ran.stdout == "3 False\n", ran.stderr
