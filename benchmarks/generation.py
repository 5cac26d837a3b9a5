"""The speedup of orch's generation loop over one wide `generate` of transformers, and its effect on a GRPO step.

    python -m benchmarks.generation [--questions 128] [--steps 4] [--rounds 3]

The SFT model of the shipped recipe is trained first. Then both generate a batch of the sampling stage, alternating, on
one core, with the same random numbers; and GRPO takes its steps with TRL's own generation and scoring, and with orch's.
Printed: the ratios of each round, and the number of completions that are the same, token for token.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.orch_calls import orch
from orchestrator.answers.tokens import prompt_ids
from orchestrator.models.base import resolve_model
from orchestrator.models.reference import ModelRef
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.sampling.answering import draw_seed
from orchestrator.sampling.engine import Decoding, Request
from orchestrator.sampling.transformers_engine import TransformersEngine
from orchestrator.training import grpo

RECIPE = Path(__file__).parent.parent / "recipes" / "rft.yaml"


def trained(recipe: Recipe, folder: Path) -> ModelRef:
    """Train the recipe's SFT model."""
    sft = RECIPE.read_text().partition("stages:\n")[2].partition("  samples:")[0]
    (folder / "sft.yaml").write_text(
        RECIPE.read_text().partition("stages:\n")[0] + f"stages:\n{sft}evaluate: {{on: test, models: [sft]}}\n"
    )
    orch(folder, "run", "sft.yaml")
    orch(folder, "export", "last", "adapter")
    return ModelRef("sft", resolve_model(recipe.model), str(folder / "adapter"))


def drawing(recipe: Recipe, model: ModelRef, questions: int, rounds: int) -> None:
    """Print the speedup of sampling, round by round."""
    stage, task = recipe.stages["samples"], recipe.task
    engine = TransformersEngine(model)
    decoding = Decoding(stage.temperature, 1.0, stage.max_tokens)
    requests = [
        Request(tuple(prompt_ids(engine.tokenizer, task.format, e.question)), draw_seed(0, e.id, draw))
        for e in task.examples("train")[:questions]
        for draw in range(stage.n)
    ]
    ours = engine.loop
    for _ in range(rounds):
        made, seconds = [], []
        for engine.loop in (None, ours):
            began = time.perf_counter()
            made.append(engine.generate(requests, decoding))
            seconds.append(time.perf_counter() - began)
        same = sum(a == b for a, b in zip(*made, strict=True))
        print(
            f"{len(requests)} completions: generate {seconds[0]:.2f} s, orch's loop {seconds[1]:.2f} s, ratio "
            f"{seconds[0] / seconds[1]:.2f}; {same} are the same",
            flush=True,
        )


def training(recipe: Recipe, model: ModelRef, steps: int, rounds: int, folder: Path) -> None:
    """Print the speedup of GRPO steps, round by round."""
    spec = recipe.stages["grpo"].model_copy(update={"max_steps": steps})
    task, ours = recipe.task, grpo._Trainer

    class Plain(ours):
        _generate_single_turn = grpo.GRPOTrainer._generate_single_turn
        _get_per_token_logps_and_entropies = grpo.GRPOTrainer._get_per_token_logps_and_entropies

    for round_ in range(rounds):
        seconds = []
        for kind in (Plain, ours):
            grpo._Trainer = kind
            work = folder / f"{kind.__name__}-{round_}"
            job = grpo.GrpoJob(work, model, task.format, spec, 0, 1, task, tuple(task.examples("train")))
            began = time.perf_counter()
            grpo.run_grpo(job)
            seconds.append(time.perf_counter() - began)
        print(
            f"{steps} steps of GRPO: TRL's own way {seconds[0]:.1f} s, orch's {seconds[1]:.1f} s, ratio "
            f"{seconds[0] / seconds[1]:.2f}",
            flush=True,
        )


def main() -> None:
    """Print both speedups."""
    parser = argparse.ArgumentParser(description="Sampling with orch's loop.")
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(RECIPE)
    with tempfile.TemporaryDirectory() as name:
        model = trained(recipe, Path(name))
        drawing(recipe, model, asked.questions, asked.rounds)
        training(recipe, model, asked.steps, asked.rounds, Path(name))


if __name__ == "__main__":
    main()
