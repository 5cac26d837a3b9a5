"""A sweep against the same variants run one by one, each from scratch: stage seconds, and wall-clock time.

    python -m benchmarks.shared_stages [--recipe recipes/rft.yaml] [--half]

Eight trials over the learning rate of RFT and the steps of GRPO. The sweep also tests its winner at the end; a run of
one variant evaluates the same model on the same questions, and nothing else. With `--half`, only four of the eight are
run separately, which together take half of all GRPO steps; they count twice.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path

from benchmarks.orch_calls import orch, stages_run

OVERRIDES = ("task.validation={generate: 300}",)
RATES = ("2e-3", "4e-3")
STEPS = ("10", "20", "30", "40")
HALF = (("2e-3", "10"), ("2e-3", "40"), ("4e-3", "20"), ("4e-3", "30"))


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description="A sweep against separate runs.")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/rft.yaml"))
    parser.add_argument("--half", action="store_true")
    asked = parser.parse_args()
    recipe, times = str(asked.recipe.resolve()), 2 if asked.half else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = (f"stages.rft.learning_rate={','.join(RATES)}", f"stages.grpo.max_steps={','.join(STEPS)}")
        found, swept = orch(folder, "sweep", recipe, *OVERRIDES, *grid)
        stages = list(stages_run(folder))
        swept_stages = sum(seconds for _, seconds in stages)
        once = {one: sum(run.name == one and seconds > 0 for run, seconds in stages) for one in ("sft", "samples")}
    counts = found["stages"]
    print(
        f"sweep: {len(found['trials'])} trials, {counts['run']} stages run instead of {counts['asked']}, sft "
        f"{once['sft']} time, samples {once['samples']} time: {swept_stages:.0f} stage seconds, {swept:.0f} s",
        flush=True,
    )
    alone_stages = alone = 0.0
    for rate, steps in HALF if asked.half else product(RATES, STEPS):
        with tempfile.TemporaryDirectory() as name:
            own = (f"stages.rft.learning_rate={rate}", f"stages.grpo.max_steps={steps}")
            _, seconds = orch(
                Path(name), "run", recipe, *OVERRIDES, *own, "evaluate.models=[grpo]", "evaluate.on=validation"
            )
            took = sum(seconds for _, seconds in stages_run(Path(name)))
        alone, alone_stages = alone + times * seconds, alone_stages + times * took
        print(f"alone, rft at {rate}, {steps} steps of grpo: {took:.0f} stage seconds, {seconds:.0f} s", flush=True)
    print(f"one by one: {alone_stages:.0f} stage seconds, {alone:.0f} s")
    print(f"ratio: {swept_stages / alone_stages:.2f} of the stage seconds, {swept / alone:.2f} of the time")


if __name__ == "__main__":
    main()
