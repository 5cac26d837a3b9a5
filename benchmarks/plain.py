"""The shipped recipe without the orchestrator: the same training, sampling and evaluation in one plain process.

The baseline for `orch run recipes/rft.yaml`. It uses the recipe's settings and the task's questions and judge, and does
the rest as one would by hand with transformers, peft and TRL: no Ray, no MLflow, no resuming.

    python benchmarks/plain.py recipes/rft.yaml [key=value ...]
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from orchestrator.models.base import TINY as MODEL
from orchestrator.recipe.recipe import load_recipe
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Example

CPU = {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False,
       "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}  # fmt: skip
NOT_TRL = ("type", "model", "data", "prompts", "resources", "lora", "save_steps", "answer_weight", "validation")


def main() -> None:
    """Run the recipe, and print the accuracies and the duration of each step."""
    recipe = load_recipe(sys.argv[1], sys.argv[2:])
    task, stages = recipe.task, recipe.stages
    tokenizer = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    train, test = task.examples("train"), task.examples("test")
    demonstrations = [(e.question, task.target(e)) for e in task.examples("demonstrations")]
    folder = Path(tempfile.mkdtemp())
    clock = Clock()

    def load(adapter: Path | None = None, trainable: bool = False) -> Any:
        model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
        if adapter is None:
            return model
        model = PeftModel.from_pretrained(model, adapter, is_trainable=trainable)
        return model if trainable else model.merge_and_unload()

    def sft(spec: Any, rows: list[tuple[str, str]], name: str) -> Path:
        torch.manual_seed(recipe.seed)
        lora = spec.lora.model_dump() if spec.lora else {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
        data: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
        for question, target in rows:
            prompt = tokenizer(task.format.prompt_text(question))["input_ids"]
            answer = [*tokenizer(target)["input_ids"], tokenizer.eos_token_id]
            data["input_ids"].append(prompt + answer)
            data["labels"].append([-100] * len(prompt) + answer)
        arguments = spec.model_dump(exclude_none=True, exclude=set(NOT_TRL))
        trainer = SFTTrainer(
            model=get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", **lora)),
            args=SFTConfig(output_dir=str(folder / f"{name}-trainer"), seed=recipe.seed, **CPU, **arguments,
                           dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=Dataset.from_dict(data),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.train()
        trainer.save_model(str(folder / name))
        return folder / name

    @torch.inference_mode()
    def generate(model: Any, questions: list[Example], n: int, batch: int, config: GenerationConfig) -> list[list[str]]:
        texts: list[list[str]] = []
        for start in range(0, len(questions), max(1, batch // n)):
            part = questions[start : start + max(1, batch // n)]
            rows = [task.format.prompt_text(e.question) for e in part for _ in range(n)]
            inputs = tokenizer(rows, return_tensors="pt", padding=True, return_token_type_ids=False)
            output = model.eval().generate(**inputs, generation_config=config)[:, inputs["input_ids"].shape[1] :]
            decoded = tokenizer.batch_decode(output, skip_special_tokens=True)
            texts += [decoded[i : i + n] for i in range(0, len(decoded), n)]
        return texts

    def right(text: str, example: Example) -> bool:
        return verdicts(task, [item(text, example)])[0].status == "correct"

    def evaluate(name: str, adapter: Path | None) -> None:
        spec = recipe.evaluate
        config = GenerationConfig(max_new_tokens=spec.max_tokens, do_sample=False, eos_token_id=tokenizer.eos_token_id,
                                  pad_token_id=tokenizer.pad_token_id)  # fmt: skip
        made = generate(load(adapter), test, 1, spec.batch_size, config)
        share = sum(right(t[0], e) for t, e in zip(made, test, strict=True)) / len(test)
        clock.step(f"evaluate {name}")
        print(f"{name:8} accuracy {share:.3f}", flush=True)

    evaluate("base", None)
    sft_model = sft(stages["sft"], demonstrations, "sft")
    clock.step("sft")
    evaluate("sft", sft_model)

    draw: Any = stages["samples"]
    config = GenerationConfig(max_new_tokens=draw.max_tokens, do_sample=True, temperature=draw.temperature, top_k=0,
                              top_p=draw.top_p, eos_token_id=tokenizer.eos_token_id,
                              pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    drawn = generate(load(sft_model), train, draw.n, draw.batch_size, config)
    limit, chosen = stages["chosen"].max_per_example or draw.n, []
    for example, texts in zip(train, drawn, strict=True):
        kept: Counter[str] = Counter(t for t in texts if right(t, example))
        chosen += [(example.question, text) for text in list(kept)[:limit]]
    clock.step("samples")

    rft_model = sft(stages["rft"], demonstrations + chosen, "rft")
    clock.step("rft")
    evaluate("rft", rft_model)

    def reward(completions: list[str], row: list[int], **_: Any) -> list[float]:
        return [float(right(text, train[index])) for text, index in zip(completions, row, strict=True)]

    torch.manual_seed(recipe.seed)
    trainer = GRPOTrainer(
        model=load(rft_model, trainable=True),
        reward_funcs=reward,
        args=GRPOConfig(output_dir=str(folder / "grpo-trainer"), seed=recipe.seed, **CPU,
                        **stages["grpo"].model_dump(exclude_none=True, exclude=set(NOT_TRL))),
        train_dataset=Dataset.from_dict({"prompt": [task.format.prompt_text(e.question) for e in train],
                                         "row": list(range(len(train)))}),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(folder / "grpo"))
    clock.step("grpo")
    evaluate("grpo", folder / "grpo")


class Clock:
    """Prints the duration of each step."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def step(self, name: str) -> None:
        """Print the time since the last step."""
        now = time.monotonic()
        print(f"{name:16} {now - self.last:6.1f} s", flush=True)
        self.last = now


if __name__ == "__main__":
    main()
