"""`from: [samples, hot, RUN:samples]`: selecting from the draws of several stages and of other runs together."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestrator.store.mlflow import MlflowStore
from tests.conftest import SMALL, Called, call

Run = tuple[Path, Called]
RECIPE = """\
extends: {small}
stages:
  chosen: null
  rft:    null
  grpo:   null
  hot:    {{type: sample, model: sft, n: 3, temperature: 1.2, max_tokens: 96}}
  picked: {{type: select, from: {names}, max_per_example: 2}}
evaluate: {{models: [sft]}}
"""


def run(folder: Path, names: str, *overrides: str) -> Called:
    (folder / "r.yaml").write_text(RECIPE.format(small=SMALL, names=names))
    return call(folder, "run", "r.yaml", *overrides, "--json")


def test_draws_of_several_stages_and_runs_are_selected_from_together(
    small_run: Run, small_copy: Path, monkeypatch: Any
) -> None:
    first = small_run[1].json["run_id"]
    ran = run(small_copy, f"[hot, '{first[:10]}:samples']")
    assert ran.code == 0, ran.err
    states = {stage["name"]: stage["cached"] for stage in ran.json["stages"]}
    assert states["sft"] and not states["hot"] and not states["picked"]
    monkeypatch.chdir(small_copy)
    store = MlflowStore()
    here = store.children(ran.json["run_id"])
    old = pq.read_table(store.artifact(store.children(first)["samples"].origin, "completions.parquet")).to_pylist()
    new = pq.read_table(store.artifact(here["hot"], "completions.parquet")).to_pylist()
    chosen = pq.read_table(store.artifact(here["picked"], "chosen.parquet")).to_pylist()
    wanted = []
    for question in dict.fromkeys(row["example_id"] for row in new):
        seen: set[str] = set()
        for rows, begin in ((new, 0), (old, 1_000_000)):
            for row in rows:
                text = " ".join(row["text"].split())
                if (row["example_id"], row["status"]) == (question, "correct") and text not in seen:
                    seen.add(text)
                    wanted.append((question, begin + row["draw"], row["text"]))
    found = [(row["example_id"], row["draw"], row["text"]) for row in chosen]
    kept = Counter(question for question, *_ in found)
    assert found and set(found) <= set(wanted) and max(kept.values()) <= 2
    assert kept == {q: min(2, n) for q, n in Counter(question for question, *_ in wanted).items()}
    assert any(draw >= 1_000_000 for _, draw, _ in found), "draws of the other run are included"

    again = run(small_copy, f"[hot, '{first[:12]}:samples']")
    assert all(stage["cached"] for stage in again.json["stages"]), "the same draws, however the run is named"
    other = run(small_copy, "[hot]")
    assert not {s["name"]: s["cached"] for s in other.json["stages"]}["picked"]


def test_draws_that_do_not_go_together_are_refused(small_run: Run, small_copy: Path) -> None:
    first = small_run[1].json["run_id"]

    def refused(names: str, *overrides: str) -> str:
        called = run(small_copy, names, *overrides)
        [said] = [line for line in called.err.splitlines() if line.startswith("orch: ")]
        assert called.code == 2
        return said

    assert "for other questions than this recipe's" in refused(f"[hot, '{first}:samples']", "task.train={generate: 9}")
    assert "has no finished draws 'draws'; its draws: samples" in refused(f"[hot, '{first}:draws']")
    assert "no run" in refused("[hot, 'abcdef0123:samples']")
    assert "must name a sample stage of the recipe itself" in refused(f"'{first}:samples'")
    assert "must be RUN:STAGE, such as 1a2b3c4d:samples" in refused("[hot, 'last:samples']")
    assert "must be RUN:STAGE, such as 1a2b3c4d:samples" in refused("[hot, 'small:samples']"), "names are refused"
    assert "names 'hot' twice; list it once" in refused("[hot, hot]")
    same = refused(f"[hot, samples, '{first}:samples']")
    assert f"'samples' and '{first}:samples' are the same draws" in same
    assert "unknown stage" in refused("[hot]", f"stages.sft.data=['{first}:samples']")
    assert "depends on itself" in refused("[hot, picked]")
    split = refused("[hot, samples]", "stages.hot.prompts=demonstrations")
    assert "'hot' draws for demonstrations and 'samples' for train, so they have no question in common" in split
