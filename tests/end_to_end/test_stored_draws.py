"""Draws are kept: another judge judges them again, and asking for more draws only adds the missing ones."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestrator.store.mlflow import MlflowStore
from tests.conftest import SMALL, Called, call, copied

Run = tuple[Path, Called]
OTHER_JUDGE = "task.judge={type: numeric, tolerance: 0.3}"
ALONE = """\
extends: {small}
stages: {{chosen: null, rft: null, grpo: null}}
evaluate: {{models: [sft]}}
"""


def recipe(folder: Path) -> str:
    (folder / "r.yaml").write_text(ALONE.format(small=SMALL))
    return "r.yaml"


def draws(folder: Path, run: Called, monkeypatch: Any) -> list[dict[str, Any]]:
    monkeypatch.chdir(folder)
    store = MlflowStore()
    sampled = store.children(run.json["run_id"])["samples"]
    return list(pq.read_table(store.artifact(sampled.origin, "completions.parquet")).to_pylist())


def forget_draws(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database, database:
        gone = database.execute("DELETE FROM tags WHERE key LIKE 'orch.%draws%'").rowcount
    assert gone


def test_more_draws_are_those_that_are_there_and_the_missing_ones(
    small_run: Run, small_copy: Path, tmp_path_factory: Any, monkeypatch: Any
) -> None:
    anew = copied(small_run[0], tmp_path_factory.mktemp("anew"))
    forget_draws(anew)
    found = []
    for folder, known in ((small_copy, 1), (anew, 0)):
        planned = call(folder, "plan", recipe(folder), "stages.samples.n=6", "--json").json["stages"]
        assert sum(stage["drawn"] is not None for stage in planned) == known
        ran = call(folder, "run", "r.yaml", "stages.samples.n=6", "--json")
        assert ran.code == 0, ran.err
        found.append(draws(folder, ran, monkeypatch))
    assert found[0] == found[1] and {row["draw"] for row in found[0]} == set(range(6))


def test_another_judge_judges_what_is_there(small_copy: Path, monkeypatch: Any) -> None:
    planned = call(small_copy, "plan", recipe(small_copy), OTHER_JUDGE, "--json").json["stages"]
    assert [s["name"] for s in planned if s["drawn"]] == ["samples", "evaluate.sft"]
    shown = call(small_copy, "plan", "r.yaml", OTHER_JUDGE)
    assert "existing draws are judged again: samples (run " in shown.out
    before = call(small_copy, "run", "r.yaml", "--json")
    after = call(small_copy, "run", "r.yaml", OTHER_JUDGE, "--json")
    assert after.code == 0, after.err
    strict, loose = (draws(small_copy, run, monkeypatch) for run in (before, after))
    assert [row["text"] for row in strict] == [row["text"] for row in loose]
    assert [row["value"] for row in strict] == [row["value"] for row in loose]
    right = [sum(row["status"] == "correct" for row in rows) for rows in (strict, loose)]
    assert right[0] < right[1]
    assert after.json["models"][0]["accuracy"] > before.json["models"][0]["accuracy"]
    again = call(small_copy, "plan", "r.yaml", OTHER_JUDGE, "--json").json["stages"]
    assert all(stage["cached"] and stage["drawn"] is None for stage in again)
