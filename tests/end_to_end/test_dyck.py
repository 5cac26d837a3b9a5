"""recipes/dyck.yaml through the real stack, with too few steps to learn anything: every stage, both splits."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.tasks.dyck_sequences import flaw, sequence_in
from tests.conftest import REPOSITORY, call
from tests.support.store import artifact, children, rows

FEW = (
    "task.demonstrations.generate=16",
    "task.train.generate=8",
    "task.test.generate=12",
    "task.further.longer.generate=6",
    "stages.sft.max_steps=3",
    "stages.sft.warmup_steps=1",
    "stages.samples.n=1",
    "stages.chosen.allow_empty=true",
    "stages.rft.max_steps=2",
    "stages.rft.warmup_steps=1",
    "stages.grpo.max_steps=1",
    "stages.grpo.per_device_train_batch_size=8",
)


@pytest.mark.slow
def test_every_stage_of_the_recipe_runs(tmp_path: Path) -> None:
    called = call(tmp_path, "run", str(REPOSITORY / "recipes" / "dyck.yaml"), *FEW, "--json")
    assert called.code == 0, called.err
    assert {s["state"] for s in called.json["stages"]} == {"done"}
    [longer] = called.json["also"]
    for models, n in ((called.json["models"], 12), (longer["models"], 6)):
        assert [(m["model"], m["n"]) for m in models] == [(name, n) for name in ("base", "sft", "rft", "grpo")]
    found = children(tmp_path, called.json["run_id"])
    for name in ("sft", "rft", "grpo"):
        kept = {file.name for file in artifact(found[name], "model").iterdir()}
        assert "model.safetensors" in kept and "adapter_config.json" not in kept, "all weights are trained"
    lengths = {
        split: {len(sequence_in(r["question"])) for r in asked}
        for split, asked in (
            ("test", rows(found["sft"], "eval/results.parquet")),
            ("longer", rows(found["sft"], "eval/longer/results.parquet")),
        )
    }
    assert max(lengths["test"]) <= 8 and lengths["longer"] <= {9, 10}
    for row in rows(found["grpo"], "eval/results.parquet"):
        assert flaw(sequence_in(row["question"]), row["gold"].replace(" ", "")) is None
    draws = pq.read_table(artifact(found["samples"], "completions.parquet"))
    assert draws.num_rows == 8
