"""A local store is read without MLflow, with the same results as MLflow's."""

import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from orchestrator.commands.runs import runs
from orchestrator.errors import InputError, TrackingError
from orchestrator.store.base import StoredRun
from orchestrator.store.database import Database
from orchestrator.store.local import LocalStore
from orchestrator.store.memory import MemoryStore
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import PARENT_TAG, SWEEP, VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import connect, local_database, using
from tests.conftest import environment

FILE = Path("mlruns/mlflow.db")


def fill(store: MlflowStore, name: str = "units 'ü' %") -> list[str]:
    """Write a run, a sweep with a trial, a deleted run and another run; return the ids that `orch runs` lists."""
    experiment = store.experiment(name)
    made = []
    for verb in (WHOLE_RUN, SWEEP, WHOLE_RUN, WHOLE_RUN):
        made.append(store.start(experiment, verb, {VERB_TAG: verb}, {"n": 1}))
        time.sleep(0.002)  # times in stores are in milliseconds
    store.start(experiment, "trial", {VERB_TAG: WHOLE_RUN, PARENT_TAG: made[1]}, {})
    sft = store.start(experiment, "sft", {VERB_TAG: "sft", PARENT_TAG: made[0]}, {"rate": 0.1})
    store.log(sft, {"accuracy": 0.5, "none": math.nan, "most": math.inf})
    store.end(made[0], "FINISHED")
    store.client.delete_run(made[2])
    return [made[3], made[1], made[0]]


def said(runs: Iterable[StoredRun]) -> list[str]:
    """Runs as text, in which nan equals nan."""
    return [
        repr({name: sorted(v.items()) if isinstance(v, dict) else v for name, v in asdict(r).items()}) for r in runs
    ]


def test_it_is_what_mlflow_says(mlflow_store: MlflowStore) -> None:
    fill(mlflow_store), fill(mlflow_store, "other")
    local = connect()
    assert isinstance(local, LocalStore)
    everything = [*mlflow_store.runs()]
    assert said(local.runs()) == said(everything) and len(everything) == 10
    for run in everything:
        assert said([local.find(run.run_id)]) == said([run])
        assert said(local.beginning(run.run_id[:8])) == said(mlflow_store.beginning(run.run_id[:8]))
        for metric in run.metrics:
            assert repr(local.history(run.run_id, metric)) == repr(mlflow_store.history(run.run_id, metric))
    assert local.experiments() == mlflow_store.experiments()
    mlflow_store.client.delete_experiment(mlflow_store.experiment("other"))
    assert said(local.runs()) == said(mlflow_store.runs()) and len([*local.runs()]) == 5
    assert local.experiments() == mlflow_store.experiments()
    assert said([local.find(everything[0].run_id)]) == said([mlflow_store.find(everything[0].run_id)])
    with pytest.raises(TrackingError, match="was deleted"):
        local.experiment("other")


def test_however_many_there_are(mlflow_store: MlflowStore) -> None:
    [_, _, first] = fill(mlflow_store)
    with closing(sqlite3.connect(FILE)) as database, database:
        for table in ("runs", "tags", "params"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            copied = ", ".join("printf('%032d', number)" if one == "run_uuid" else one for one in columns)
            database.execute(
                "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 1200) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table}, numbers WHERE run_uuid = ?",
                (first,),
            )
    assert len(runs()) == 1203 and len(runs(limit=1100)) == 1100
    found = [*connect().runs({VERB_TAG: WHOLE_RUN})]
    assert len(found) == 1203 and {run.params.get("n") for run in found} == {"1", None}
    assert len([*connect().runs(ids=[run.run_id for run in found])]) == 1203


def test_where_it_cannot_be_read_so_mlflow_reads_it(mlflow_store: MlflowStore, tmp_path: Path) -> None:
    wanted = fill(mlflow_store)
    assert local_database() is not None
    with closing(sqlite3.connect(FILE)) as database, database:
        database.execute("ALTER TABLE latest_metrics RENAME COLUMN is_nan TO nan")
    assert local_database() is None and isinstance(connect(), MlflowStore)
    with closing(sqlite3.connect(FILE)) as database, database:
        database.execute("ALTER TABLE latest_metrics RENAME COLUMN nan TO is_nan")
    memory = MemoryStore(tmp_path / "memory")
    memory.start(memory.experiment("words"), "words", {VERB_TAG: WHOLE_RUN}, {})
    with using(memory):
        assert [run.experiment for run in runs()] == ["words"]
    assert [run.run_id for run in runs()] == wanted
    with pytest.raises(InputError, match="unknown experiment"):
        runs("other")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 but no more", b"\x7fELF" * 1000])
def test_what_is_no_database_is_left_to_mlflow(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(content)
    assert not Database(file).readable() and file.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    FILE.parent.mkdir()
    with closing(sqlite3.connect(FILE)) as database, database:
        database.execute("CREATE TABLE places (name TEXT)")
    before = FILE.read_bytes()
    with pytest.raises(TrackingError, match="is the database of another program: move it, or set MLFLOW_TRACKING_URI"):
        runs()
    assert FILE.read_bytes() == before


KILLED = """
import os, sqlite3
opened = sqlite3.connect("mlruns/mlflow.db", isolation_level=None)
opened.execute("PRAGMA cache_size = 1")
opened.execute("BEGIN")
for number in range(300):
    opened.execute("INSERT INTO tags SELECT ?, ?, run_uuid FROM runs", (f"k{number}", "x" * 7000))
os._exit(9)
"""


def test_what_a_killed_process_had_begun_to_write_is_undone(mlflow_store: MlflowStore) -> None:
    wanted = fill(mlflow_store)
    local = connect()
    assert subprocess.run([sys.executable, "-c", KILLED]).returncode == 9
    assert Path(f"{FILE}-journal").stat().st_size > 0, "it was killed in the middle of a write"
    assert [run.run_id for run in local.runs({VERB_TAG: WHOLE_RUN}) if run.parent is None] == [wanted[0], wanted[2]]
    assert not any(tag.startswith("k") for run in local.runs() for tag in run.tags)


def test_a_store_that_is_written_just_now_is_still_one(
    mlflow_store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database._PATIENCE", 0.1)
    fill(mlflow_store)
    with closing(sqlite3.connect(FILE, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert Database(FILE).readable()
        with pytest.raises(TrackingError, match="database is locked"):
            connect().experiments()
        database.execute("ROLLBACK")
    assert connect().experiments()


def test_it_breaks_in_the_midst(mlflow_store: MlflowStore) -> None:
    fill(mlflow_store)
    local = connect()
    FILE.write_bytes(b"not a database " * 1000)
    for ask in (local.experiments, lambda: [*local.runs()], lambda: local.tag_experiment("1", "a", "b")):
        with pytest.raises(TrackingError, match="cannot be reached or written: file is not a database"):
            ask()


def test_a_folder_with_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a ?#%20'é"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    wanted = fill(MlflowStore())
    local = connect()
    assert isinstance(local, LocalStore) and [run.run_id for run in runs()] == wanted
    local.tag_experiment(local.experiment("units 'ü' %"), "a", "b")
    assert local.experiments()[0].tags == {"a": "b"} == MlflowStore().experiments()[0].tags


def test_reading_loads_no_mlflow(mlflow_store: MlflowStore) -> None:
    fill(mlflow_store)
    asks = (
        "import sys; from orchestrator.commands.runs import runs; from orchestrator.store.opening import open_store; "
        "store = open_store(); store.asked_again(store.find(None)); store.children(store.find(None).run_id); "
        "print(len(runs()), 'mlflow' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", asks], env=environment(), capture_output=True, text=True)
    assert ran.stdout == "3 False False\n", ran.stderr
