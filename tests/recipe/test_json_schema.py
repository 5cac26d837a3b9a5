"""The schema that editors use, and the page made from it: complete, up to date, and consistent with the reader."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.answers.formats import FORMATS
from orchestrator.answers.judges import JUDGES
from orchestrator.errors import OrchError
from orchestrator.recipe.json_schema import field_docs, recipe_schema
from orchestrator.recipe.recipe import parse_recipe
from orchestrator.recipe.reference import reference
from orchestrator.recipe.yaml_source import parse
from orchestrator.stages import STAGES
from orchestrator.stages.evaluate import Evaluate
from orchestrator.tasks import TASKS
from orchestrator.training.settings import TrainingSettings
from tests.conftest import REPOSITORY, SMALL

SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BLOCKS = [*STAGES.values(), *TASKS.values(), *FORMATS.values(), *JUDGES.values(), Evaluate]
RECIPES = [*sorted((REPOSITORY / "recipes").glob("*.yaml")), SMALL, REPOSITORY / "tests" / "sweep.yaml"]
GOOD = """\
name: x
task: {type: units, demonstrations: {generate: 9}, train: {generate: 9}, test: {generate: 9}}
model: {name: tiny}
stages:
  sft: {type: sft, learning_rate: 1e-3}
  samples: {type: sample, model: sft}
"""


def refused(text: str) -> bool:
    return bool(list(VALIDATOR.iter_errors(parse(text, "r.yaml")[0])))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_are_valid(path: Path) -> None:
    data = parse(path.read_text(), str(path))[0]
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize("path", RECIPES[:-2], ids=lambda path: path.name)
def test_shipped_recipes_name_it(path: Path) -> None:
    assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_key_is_in_it_with_its_meaning(block: Any) -> None:
    known = SCHEMA["$defs"][block.__name__]["properties"]
    for name, field in block.model_fields.items():
        if name != "further" or not issubclass(block, TrainingSettings):
            assert (field.alias or name) in known
            assert name == "type" or known[field.alias or name]["description"], f"{block.__name__}.{name}"
    for name in getattr(block, "ARGUMENTS", ()):
        assert name in known


def test_what_a_field_means_is_said_once_and_inherited() -> None:
    docs = field_docs(STAGES["sft"])
    assert docs["data"].startswith("`demonstrations`, select stages")
    assert docs["max_length"].startswith("Maximum tokens of prompt plus target") and "\n" not in docs["lora"]
    assert docs["save_steps"].startswith("Steps between checkpoints")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learning_rate: 1e-3", "lr: 1e-3"),
        ("learning_rate: 1e-3", "learning_rate: [1e-3]"),
        ("learning_rate: 1e-3", "learning_rate: -1"),
        ("type: sample, model", "model"),
        ("type: sample", "type: sampel"),
        ("type: sample, model: sft", "type: sample, model: sft, n: 1.5"),
        ("  samples:", "  Samples:"),
        ("type: units", "type: unit"),
        ("{name: tiny}", "{nme: tiny}"),
        ("name: x\n", ""),
        ("test: {generate: 9}", "test: {generate: x}"),
        ("stages:", "wandb: 1\nstages:"),
    ],
)
def test_it_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    assert not refused(GOOD)
    text = GOOD.replace(old, new)
    assert text != GOOD and refused(text)
    with pytest.raises(OrchError):
        parse_recipe(text, "r.yaml")


@pytest.mark.parametrize(
    "more",
    [
        "limits: {ignore: test-too-small}\n",
        "evaluate: {models: sft, also: []}\n",
        "seeds: [0, 1]\n",
        "sweep: {parameters: {stages.sft.learning_rate: [1e-3, 2e-3]}, metric: {name: sft/accuracy}}\n",
        "sweep: {method: random, run_cap: 3, parameters: {stages.sft.learning_rate: {min: 1e-3, max: 2e-3}}}\n",
    ],
)
def test_short_ways_to_write_things_are_valid(more: str) -> None:
    assert not refused(GOOD + more)


def test_a_task_may_be_ones_own_or_a_bare_name() -> None:
    assert not refused(GOOD.replace("type: units", "type: my_task.py:MyTask, whatever: 1"))
    assert not refused(GOOD.replace("task: {", "task: gsm8k #{"))


def test_the_files_made_of_it_are_up_to_date() -> None:
    kept = json.loads((REPOSITORY / "recipes" / "recipe.schema.json").read_text())
    assert kept == SCHEMA, "orch schema > recipes/recipe.schema.json"
    page = (REPOSITORY / "docs" / "reference.md").read_text()
    assert page == reference(), "orch schema --markdown > docs/reference.md"
