"""Sampling by two workers on two cores, against one worker on one core.

    python -m benchmarks.two_workers [--questions 1200] [--pairs 2]

Each run samples eight completions per question from the base model in shards of 256, through `orch run`. The time of a
run is from when its first shard starts until its last one is written; workers load Python and the model within it.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.orch_calls import orch, stages_run

RECIPE = """\
name: two-workers
task: {type: units, train: {generate: QUESTIONS}, test: {generate: 4}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, n: 8, batch_size: 256, max_tokens: 80}
evaluate: {models: [base]}
"""


def seconds(questions: int, cores: int) -> float:
    """Duration of the `sample` stage on that many cores, with one worker on each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(RECIPE.replace("QUESTIONS", str(questions)))
        os.environ |= {"RAY_OVERRIDE_RESOURCES": f'{{"CPU": {cores}}}', "OMP_NUM_THREADS": "1"}
        orch(folder, "run", "recipe.yaml")
        [took] = [took for run, took in stages_run(folder) if run.name == "samples"]
        return took


def main() -> None:
    """Print both rates, and how many times as fast two workers are."""
    parser = argparse.ArgumentParser(description="Two workers on two cores against one.")
    parser.add_argument("--questions", type=int, default=1200)
    parser.add_argument("--pairs", type=int, default=2)
    asked = parser.parse_args()
    ratios = []
    for pair in range(1, asked.pairs + 1):
        one, two = seconds(asked.questions, 1), seconds(asked.questions, 2)
        ratios.append(one / two)
        rates = [8 * asked.questions / took for took in (one, two)]
        print(
            f"pair {pair}  one worker {one:.1f} s ({rates[0]:.0f} completions/s), two workers {two:.1f} s "
            f"({rates[1]:.0f} completions/s): {ratios[-1]:.2f} times as fast",
            flush=True,
        )
    print(f"two workers / one: {median(ratios):.2f} (median of {asked.pairs})")


if __name__ == "__main__":
    main()
