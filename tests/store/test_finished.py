"""Many keys cost few requests, counted at MLflow's own client, file listings included."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.store import connection
from orchestrator.store import finished as module
from orchestrator.store.mlflow import MlflowStore
from orchestrator.store.names import COMPLETIONS, KEY_TAG, VERB_TAG

COUNTED = ("search_runs", "search_experiments", "get_run", "list_artifacts", "get_experiment")


def stage(number: int) -> Any:
    return SimpleNamespace(
        name=f"stage {number}", verb="sample", key=f"key {number}", also=None, is_evaluation=False, output=COMPLETIONS
    )


@pytest.fixture
def store(mlflow_store: MlflowStore) -> MlflowStore:
    """A store with 500 finished runs, the newest first; each has the key of its number."""
    store = mlflow_store
    run_id = store.start(store.experiment("test"), "samples", {VERB_TAG: "sample", KEY_TAG: "key 0"}, {})
    Path("made").mkdir()
    Path("made/completions.parquet").write_text("x")
    store.log(run_id, {}, store.log_folder(run_id, Path("made"), "completions.parquet"))
    store.end(run_id, "FINISHED")
    with closing(sqlite3.connect("mlruns/mlflow.db")) as database, database:
        for table, others in (
            ("runs", {"run_uuid": "'copy' || number", "start_time": "start_time - number"}),
            ("tags", {"run_uuid": "'copy' || number", "value": f"iif(key = '{KEY_TAG}', 'key ' || number, value)"}),
        ):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            database.execute(
                "WITH RECURSIVE numbers(number) "
                "AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 499) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(others.get(c, c) for c in columns)} "
                f"FROM {table}, numbers WHERE run_uuid = ?",
                (run_id,),
            )
    return store


@pytest.fixture
def requests(store: MlflowStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of requests to MLflow's client, by method."""
    counted: Counter[str] = Counter()
    client = store.client._client

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            counted[name] += 1
            return real(*arguments, **named)

        return count

    for name in COUNTED:
        monkeypatch.setattr(client, name, counting(name, getattr(client, name)))
    return counted


def test_many_keys_are_read_in_pages(store: MlflowStore, requests: Counter[str]) -> None:
    stages = [stage(number) for number in range(400)] * 5
    done = store.finished(stages)
    assert len(done) == 400 and done["key 7"] == "copy7"
    assert requests == {"search_experiments": 1, "search_runs": 1}


def test_a_few_keys_are_searched_at_the_same_time(store: MlflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first, each search waits until another one is running too."""
    together = threading.Barrier(2)
    search = store.client._client.search_runs

    def searching(*arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            together.wait(timeout=60)
        return search(*arguments, **named)

    monkeypatch.setattr(store.client._client, "search_runs", searching)
    numbers = (3, 7, 8)
    assert store.finished([stage(number) for number in numbers]) == {f"key {n}": f"copy{n}" for n in numbers}


def test_that_none_of_many_keys_is_there_is_known_from_the_pages(store: MlflowStore, requests: Counter[str]) -> None:
    assert store.finished([stage(number) for number in range(500, 900)]) == {}
    assert sum(requests.values()) == 2


def test_what_the_newest_pages_do_not_hold_is_searched(
    store: MlflowStore, requests: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAGE", 50)
    monkeypatch.setattr(module, "PAGE", 50)
    done = store.finished([stage(number) for number in range(90, 510)])
    assert done.keys() == {f"key {number}" for number in range(90, 500)}
    assert requests == {"search_experiments": 1, "search_runs": 2 + 410}, "one for each key missing from the two pages"


@pytest.mark.parametrize("numbers", [(3,), (3, 4, 499, 1000)])
def test_few_keys_are_searched_one_by_one(store: MlflowStore, requests: Counter[str], numbers: tuple[int, ...]) -> None:
    done = store.finished([stage(number) for number in numbers] * 3)
    assert done == {f"key {n}": f"copy{n}" for n in numbers if n < 500}
    assert sum(requests.values()) == 1 + len(numbers) <= 3 * len(numbers)


def test_many_runs_that_reuse_one_are_one_look(store: MlflowStore, requests: Counter[str]) -> None:
    """The run they reuse has lost its output; it is not looked up again for each of them."""
    with closing(sqlite3.connect("mlruns/mlflow.db")) as database, database:
        database.execute("UPDATE tags SET value = 'key 1' WHERE key = ?", (KEY_TAG,))
        database.execute(
            "INSERT INTO tags (key, value, run_uuid) SELECT 'orch.cached_from', 'copy9', run_uuid FROM runs"
        )
    for file in Path("mlruns/artifacts").rglob("completions.parquet"):
        file.unlink()
    assert store.finished([stage(1)]) == {}
    assert requests["search_runs"] <= 4
