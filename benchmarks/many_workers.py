"""How busy 64 workers are kept if the engine takes a fixed time: any loss is overhead of orch and Ray.

    python -m benchmarks.many_workers [--workers 64] [--seconds 20] [--waves 6]

The Ray session declares as many cores as there are workers, regardless of the machine. Each shard has 256 completions:
prompts are built, the engine sleeps, and the texts are judged and written as Parquet. Ray, the scheduler and the store
are real. Printed: the share of the workers' time spent in the engine, from when all of them are first busy until the
last wave begins. A worker needs about 350 MB.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fixed_latency import SECONDS, SPANS, with_fixed_latency
from benchmarks.simulated import busy
from orchestrator import load_recipe, run
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.crew import Call, Crew

EACH, DRAWS = 256, 8
"""Completions per shard, and per question."""
RECIPE = """\
name: many-workers
task: {type: units, demonstrations: {generate: 4}, train: {generate: QUESTIONS}, test: {generate: 4}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, n: DRAWS, batch_size: EACH, resources: {cpus: 1}}
evaluate: {models: [base]}
"""


def main() -> None:
    """Sample, and print how busy the workers were kept."""
    parser = argparse.ArgumentParser(description="Many workers and an engine with fixed latency.")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of a shard in the engine")
    parser.add_argument("--waves", type=int, default=6, help="shards per worker")
    asked = parser.parse_args()
    questions = asked.workers * asked.waves * EACH // DRAWS
    os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": asked.workers})
    submit = Cluster.submit

    def with_that_engine(
        self: Cluster, calls: Sequence[Call], cpus: int, gpus: float, retries: int, **how: Any
    ) -> Crew:
        return submit(self, [(with_fixed_latency, call) for call in calls], cpus, gpus, retries, **how)

    Cluster.submit = with_that_engine  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"PYTHONPATH": str(Path(__file__).parent.parent), SECONDS: str(asked.seconds)}
        os.environ[SPANS] = str(folder / "spans")
        (folder / "spans").mkdir()
        os.chdir(folder)
        text = RECIPE.replace("QUESTIONS", str(questions)).replace("DRAWS", str(DRAWS)).replace("EACH", str(EACH))
        (folder / "recipe.yaml").write_text(text)
        found = run(load_recipe(folder / "recipe.yaml"))
        assert not found.errors, found.errors[0]
        told = [json.loads(file.read_text()) for file in (folder / "spans").iterdir()]
        spans = [(began, ended) for began, ended, rows in told if rows == EACH]  # without the base model's evaluation
        os.chdir("/")
    print(
        f"{questions * DRAWS:,} completions in {len(spans)} shards of {asked.seconds:g} s by {asked.workers} workers: "
        f"at work {busy(spans, asked.workers):.1%} of the time"
    )


if __name__ == "__main__":
    main()
