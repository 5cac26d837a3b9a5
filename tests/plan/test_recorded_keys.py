"""The recorded keys of the shipped recipes: changing one throws away everybody's finished stages.

Record an intended change with `python -m tests.plan.test_recorded_keys`, and name it in the commit message.
"""

import json
import os
from pathlib import Path

import pytest

from orchestrator.plan.plan import Plan, compile_recipe
from orchestrator.recipe.recipe import load_recipe
from tests.conftest import REPOSITORY

RECORDED = Path(__file__).parent.parent / "data" / "keys.json"
SAMPLE = "recipes/data/gsm8k_sample.jsonl"
# Local replacements for what needs the Hub.
OFFLINE = {
    "gsm8k": [
        "model.name=tiny",
        *(
            f"task.{split}={{file: {SAMPLE}, rows: '{rows}'}}"
            for split, rows in {"demonstrations": ":24", "train": "24:40", "test": "40:"}.items()
        ),
    ]
}
OFFLINE["gsm8k_sweep"] = [
    "model.name=tiny",
    *(
        f"task.{split}={{file: {SAMPLE}, rows: '{rows}'}}"
        for split, rows in {"demonstrations": ":24", "train": "24:36", "validation": "36:40", "test": "40:"}.items()
    ),
]
VARIANTS = {
    "rft whole": ("rft", ["stages.sft.lora=null", "stages.sft.weight_decay=0.1", "stages.sft.adam_epsilon=1e-7"]),
    "rft validated": ("rft", ["task.validation={generate: 20}", "stages.rft.validation={every: 10}"]),
    "rft otherwise": (
        "rft",
        [
            "seed=7",
            "stages.samples.top_p=0.9",
            "stages.chosen.max_per_example=1",
            "stages.grpo.beta=0.1",
            "evaluate.max_tokens=60",
            "task.format={type: hash}",
            "task.judge.tolerance=0.01",
        ],
    ),
}


def keys(recipe: str, overrides: list[str]) -> dict[str, str]:
    plan = compile_recipe(load_recipe(f"recipes/{recipe}.yaml", ["seed=0", *OFFLINE.get(recipe, []), *overrides]))
    assert isinstance(plan, Plan)
    return {stage.name: stage.key for stage in plan.stages}


def all_keys() -> dict[str, dict[str, str]]:
    shipped = {path.stem: (path.stem, []) for path in sorted(Path("recipes").glob("*.yaml"))}
    return {name: keys(recipe, overrides) for name, (recipe, overrides) in {**shipped, **VARIANTS}.items()}


def test_the_keys_of_the_shipped_recipes_are_those_that_were_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert all_keys() == json.loads(RECORDED.read_text())


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    RECORDED.write_text(json.dumps(all_keys(), indent=1) + "\n")
