"""Iterated RFT, run for real: draws within a budget, one of each path selected, two rounds, then a third."""

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import call
from tests.support.store import children, rows

RECIPE = """\
name: rounds
task:
  type: units
  demonstrations: {generate: 60}
  train: {generate: 12}
  test: {generate: 8}
model: {name: tiny}
stages:
  sft:     {type: sft, learning_rate: 4e-3, max_steps: 30, per_device_train_batch_size: 4}
  samples: {type: sample, model: sft, n: 4, temperature: 0.8, max_tokens: 64, batch_size: 24,
            budget: {min_draws: 2, max_draws: 12}}
  chosen:  {type: select, from: samples, distinct: equations, allow_empty: true}
  rft:     {type: sft, data: [demonstrations, chosen], learning_rate: 4e-3, max_steps: 4,
            per_device_train_batch_size: 4}
repeat: {times: 2, stages: [samples, chosen, rft], pool: true}
evaluate: {models: [rft, rft_2], on: test, max_tokens: 64, batch_size: 8}
"""


@pytest.mark.slow
def test_each_round_draws_from_the_last_and_a_round_that_is_added_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    called = call(tmp_path, "run", "r.yaml", "--json")
    assert called.code == 0, called.err
    assert [m["model"] for m in called.json["models"]] == ["rft", "rft_2"]
    made = children(tmp_path, called.json["run_id"])
    for name in ("samples", "samples_2"):
        drawn = Counter(row["example_id"] for row in rows(made[name], "completions.parquet"))
        assert len(drawn) == 12 and sum(drawn.values()) <= 48 and all(2 <= n <= 12 for n in drawn.values())
        assert made[name].data.metrics["draws_per_question"] == sum(drawn.values()) / 12
    texts = [[row["text"] for row in rows(made[name], "completions.parquet")] for name in ("samples", "samples_2")]
    assert texts[0] != texts[1], "the second round samples from another model"
    added = call(tmp_path, "run", "r.yaml", "repeat.times=3", "--json")
    assert added.code == 0, added.err
    state = {s["name"]: s["state"] for s in added.json["stages"]}
    assert {name for name, how in state.items() if how == "done"} == {"samples_3", "chosen_3", "rft_3"}
