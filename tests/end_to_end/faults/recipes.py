"""The starting point for faults: a small healthy recipe, its data, and copies of the embedded model to break."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from orchestrator.health.findings import CheckReport
from orchestrator.models.base import TINY
from orchestrator.recipe.recipe import Recipe, load_recipe

HEALTHY: dict[str, Any] = {
    "name": "fault",
    "storage": "/var/orch-runs",  # not below the temporary folder; nothing is written there
    "task": {
        "type": "units",
        "demonstrations": {"generate": 24},
        "train": {"generate": 24},
        "test": {"generate": 200},
    },
    "model": {"name": "tiny"},
    "stages": {
        "sft": {"type": "sft", "learning_rate": 4e-3, "max_steps": 40, "per_device_train_batch_size": 8},
        "grpo": {"type": "grpo", "model": "sft", "max_steps": 4, "max_completion_length": 96},
    },
    "evaluate": {"max_tokens": 96, "batch_size": 64},
}


def recipe(*overrides: str, **blocks: Any) -> Recipe:
    """The healthy recipe with some blocks replaced and `key=value` overrides applied."""
    Path("recipe.yaml").write_text(yaml.safe_dump(HEALTHY | blocks, sort_keys=False))
    return load_recipe("recipe.yaml", overrides)


def looked_at(*overrides: str, **blocks: Any) -> CheckReport:
    """The report of `check` on the healthy recipe with a fault in it."""
    from orchestrator.commands.check import check

    return check(recipe(*overrides, **blocks))


def rows(name: str, content: list[dict[str, Any]]) -> str:
    """Write rows as JSONL; return the file's name."""
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in content))
    return name


def conversions(n: int, start: int = 1) -> list[dict[str, Any]]:
    """Meters as centimeters, with worked solutions, as a user's own file may have them."""
    return [
        {
            "question": f"How many cm are {x} m, written as one plain number?",
            "answer": x * 100,
            "demonstration": f"{x} m to cm: 1 m = 100 cm. {x} * 100 = {x * 100} <answer>{x * 100}</answer>",
        }
        for x in range(start, start + n)
    ]


def tiny_copy(name: str = "copy") -> Path:
    """A copy of the embedded model, free to be broken."""
    return Path(shutil.copytree(TINY, name)).resolve()


def edit_json(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def adapter(folder: str = "adapter", **base: Any) -> Path:
    """An untrained adapter of the embedded model as orch saves it: all B matrices are zero."""
    import torch

    from orchestrator.commands.plan import plan
    from orchestrator.models.loading import load_trainable, save_adapter
    from orchestrator.models.reference import ModelRef
    from orchestrator.models.settings import Lora

    made = recipe()
    ref = ModelRef("base", plan(made).base)
    torch.manual_seed(0)
    path = Path(folder).resolve()
    save_adapter(load_trainable(ref, Lora()), ref, path, made.task.format.model_dump(mode="json"))
    edit_json(path / "base.json", **base)
    return path


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def add_tokens(folder: Path, *texts: str, special: bool = True, embedded: bool = True) -> Path:
    """Add tokens to a model's tokenizer and, unless not `embedded`, rows to its embedding."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(texts), special_tokens=special)
    if embedded:
        model = AutoModelForCausalLM.from_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chatting(template: str = CHATML, end: str | None = None, **settings: Any) -> dict[str, Any]:
    """A recipe that uses a chat template; `end`: another token as the end of text."""
    folder = add_tokens(tiny_copy(), "<|im_start|>", "<|im_end|>")
    (folder / "chat_template.jinja").write_text(template)
    if end is not None:
        edit_json(folder / "tokenizer_config.json", eos_token=end)
    return {
        "model": {"name": str(folder)},
        "task": HEALTHY["task"] | {"format": {"type": "tags", "chat": True, **settings}},
    }
