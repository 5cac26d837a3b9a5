"""The value of a draw budget that follows difficulty: coverage and RFT model, against equal draws for all questions.

    python -m benchmarks.draw_budget [--recipe recipes/rft.yaml] [--seeds 0 1 2] [--fixed 16] [--budget 8]

For each seed, the recipe's sampling draws `--fixed` completions of every question, and then an average of `--budget`:
at least 2 per question, and up to four times `--fixed` for questions that are not yet solved. RFT is trained on each,
and the two models are compared on the same test questions. Stages that both need run once.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.orch_calls import orch, store_of


def main() -> None:
    """Print the draws, coverage and accuracy of both for each seed, and the difference over seeds."""
    parser = argparse.ArgumentParser(description="Draws by difficulty against equal draws for every question.")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/rft.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fixed", type=int, default=16)
    parser.add_argument("--budget", type=int, default=8)
    arguments = parser.parse_args()
    most = 4 * arguments.fixed
    ways = {
        "fixed": (f"stages.samples.n={arguments.fixed}",),
        "budget": (
            f"stages.samples.n={arguments.budget}",
            f"stages.samples.budget={{min_draws: 2, target_correct: 2, max_draws: {most}}}",
        ),
    }
    with tempfile.TemporaryDirectory() as name:
        folder, recipe = Path(name), arguments.recipe.resolve()
        (folder / "recipe.yaml").write_text(f"extends: {recipe}\nstages: {{grpo: null}}\n")
        runs: dict[str, str] = {}
        for way, settings in ways.items():
            seeds = f"seeds={arguments.seeds}"
            found, seconds = orch(
                folder, "run", "recipe.yaml", seeds, f"name={way}", "evaluate.models=[rft]", *settings
            )
            runs[way] = found["run_id"]
            for one in found["runs"]:
                samples = store_of(folder).children(one["run_id"])["samples"]
                [model] = one["models"]
                print(
                    f"seed {one['seed']}, {way}: {samples.metrics['draws']:,.0f} draws, coverage "
                    f"{samples.metrics['coverage']:.4f}, RFT {model['accuracy']:.3f} "
                    f"[{model['accuracy_low']:.3f}, {model['accuracy_high']:.3f}]",
                    flush=True,
                )
            print(f"{way}: {seconds:.0f} s", flush=True)
        compared, _ = orch(folder, "compare", *runs.values())
    for line in compared["conclusions"]:
        print(line)


if __name__ == "__main__":
    main()
