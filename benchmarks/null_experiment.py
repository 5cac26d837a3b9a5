"""Does a comparison over seeds report a difference if there is none, and find one if there is?

    python benchmarks/null_experiment.py FOLDER [--seeds 12] [--repetitions 20]

Trains one small SFT model per seed, once (into FOLDER/mlruns; about 40 seconds each on two cores), and evaluates each
on the same 500 questions. Then, in each repetition, three seeds per side, sampled without overlap, are compared as two
recipes would be. Both sides are the same recipe, so "no difference" is correct. They are compared again with a planted
gain: right answers of one side are made wrong at random, so that the other's true accuracy is 10 points higher.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator import load_recipe, run
from orchestrator.comparison import Comparison, Evaluated, compare_evaluated, conclusions
from orchestrator.comparison.past_models import PastModel, past_models
from orchestrator.store.find import PastRuns, open_store

RECIPE = Path(__file__).parent.parent / "recipes" / "rft.yaml"
NAME = "null-experiment"
SETTINGS = (
    f"name={NAME}",
    "task.demonstrations.generate=700",
    "stages={sft: {type: sft, data: demonstrations, learning_rate: 3e-3, num_train_epochs: 2, "
    "per_device_train_batch_size: 16}}",
    "evaluate.models=[sft]",
)
A_SIDE, GAIN = 3, 0.10


def pool(seeds: int) -> list[PastModel]:
    """One trained and evaluated model per seed; models from earlier calls are reused."""
    for seed in range(seeds):
        run(load_recipe(RECIPE, [*SETTINGS, f"seed={seed}"]))
    past = PastRuns(open_store())
    found = {m.seed: m for top in past.experiment(NAME) for m in past_models(past, top)}
    return [found[seed] for seed in range(seeds)]


def side(label: str, models: list[PastModel], files: list[Path]) -> Evaluated:
    """Three models, presented as those of one recipe."""
    return Evaluated(label, "sft", tuple(m.seed or 0 for m in models), (), tuple(files))


def worse(model: PastModel, flip: float, rng: np.random.Generator, folder: Path) -> Path:
    """A model's answers, with each right one made wrong with probability `flip`."""
    table = pq.read_table(model.results)
    status = np.array(table["status"].to_pylist(), dtype=object)
    status[(status == "correct") & (rng.random(len(status)) < flip)] = "wrong"
    path = folder / f"{model.run_id}-{rng.integers(10**9)}.parquet"
    pq.write_table(table.set_column(table.column_names.index("status"), "status", pa.array(list(status))), path)
    return path


def main() -> None:
    """Print the outcome of each repetition, and the two counts."""
    parser = argparse.ArgumentParser(description="A recipe against itself, and against itself with a planted gain.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=20)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.folder)
    models = pool(asked.seeds)
    accuracies = np.array([m.accuracy for m in models])
    mean, sd = accuracies.mean(), accuracies.std(ddof=1)
    print(f"{len(models)} seeds: mean {mean:.3f}, sd {sd:.3f}, from {accuracies.min():.3f} to {accuracies.max():.3f}")
    rng = np.random.default_rng(0)
    kept, found = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(asked.repetitions):
            drawn = [models[i] for i in rng.permutation(len(models))[: 2 * A_SIDE]]
            ours, theirs = drawn[:A_SIDE], drawn[A_SIDE:]
            new = side("ours", ours, [m.results for m in ours])
            null = compared(new, side("theirs", theirs, [m.results for m in theirs]))
            lowered = [worse(m, GAIN / mean, rng, Path(folder)) for m in theirs]
            gained = compared(new, side("theirs", theirs, lowered))
            kept += not null.differences[0].shown
            found += gained.differences[0].shown and gained.differences[0].difference > 0
            print(f"same     {conclusions(null)[0]}")
            print(f"planted  {conclusions(gained)[0]}")
    print(f"no difference reported between identical recipes: {kept} of {asked.repetitions}")
    print(f"planted gain of {GAIN:.0%} found: {found} of {asked.repetitions}")


def compared(ours: Evaluated, theirs: Evaluated) -> Comparison:
    """Compare the two sides as `orch compare` does."""
    return compare_evaluated("test", [theirs, ours], {ours.label: theirs.label})


if __name__ == "__main__":
    main()
