"""Every recipe that ships loads, says what it is for, and keeps what its header promises."""

import re
from pathlib import Path

import pytest

from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.sft import Sft
from orchestrator.sweeps.planned import planned
from orchestrator.sweeps.variants import Variants
from orchestrator.tasks.splits import SPLITS
from tests.conftest import REPOSITORY

REAL = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"
RECIPES = sorted((REPOSITORY / "recipes").rglob("*.yaml"))
OFFLINE = [path for path in RECIPES if path.name not in ("gsm8k.yaml", "gsm8k_sweep.yaml")]
"""Recipes that need neither a model nor data from the Hub."""


def called(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", RECIPES, ids=called)
def test_it_loads(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.stages and recipe.models()


@pytest.mark.parametrize("path", RECIPES, ids=called)
def test_its_header_says_what_it_needs_and_what_to_expect(path: Path) -> None:
    header = path.read_text().partition("\nname:")[0]
    assert re.findall(r"^# (\w+):", header, re.MULTILINE) == ["What", "Needs", "Command", "Expect"]
    verb = "run" if load_recipe(path).sweep is None else "sweep"
    assert f"orch {verb} {path.relative_to(REPOSITORY)}\n" in header


@pytest.mark.parametrize("path", OFFLINE, ids=called)
def test_it_compiles_where_its_command_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    recipe = load_recipe(path)
    compile_plan(recipe)
    if recipe.sweep is not None:
        assert planned(Variants(recipe), None, ()).count == 8


def test_the_smoke_recipe_has_the_stages_of_the_one_it_stands_for() -> None:
    large, small = (load_recipe(REPOSITORY / "recipes" / f"{name}.yaml") for name in ("gsm8k", "gsm8k_smoke"))
    assert list(large.stages) == list(small.stages) and large.models() == small.models()


def test_the_adapter_of_the_gsm8k_recipe_stays_under_20_megabytes() -> None:
    hidden, layers, intermediate, kv = 896, 24, 4864, 128  # Qwen2.5-0.5B
    pairs = [(hidden, hidden)] * 2 + [(hidden, kv)] * 2 + [(hidden, intermediate)] * 3
    for spec in load_recipe(REPOSITORY / "recipes" / "gsm8k.yaml").stages.values():
        if isinstance(spec, Sft):
            assert spec.lora is not None and spec.lora.target_modules == "all-linear"
            parameters = layers * spec.lora.r * sum(a + b for a, b in pairs)
            assert parameters == 549_888 * spec.lora.r and 4 * parameters < 20e6


@pytest.mark.skipif(not REAL.is_dir(), reason="GSM8K is not beside the repository")
def test_the_gsm8k_recipe_compiles_with_the_published_rows() -> None:
    files = {"demonstrations": "train", "train": "train", "test": "test"}
    overrides = [f"task.{split}.file={REAL / name}.jsonl" for split, name in files.items()]
    recipe = load_recipe(REPOSITORY / "recipes" / "gsm8k.yaml", [*overrides, "model.name=tiny"])
    compile_plan(recipe)
    assert [len(recipe.task.examples(split)) for split in SPLITS[:3]] == [1000, 6473, 1319]


def test_the_control_shares_every_stage_with_the_recipe_that_it_is_the_control_of() -> None:
    plain, control = (compile_plan(load_recipe(REPOSITORY / "recipes" / f"{n}.yaml")) for n in ("rft", "rft_control"))
    assert {stage.key for stage in plain.stages} < {stage.key for stage in control.stages}
    more = {stage.name for stage in control.stages} - {stage.name for stage in plain.stages}
    assert more == {"random", "rft_random", "evaluate.rft_random"}
    ours, theirs = (control.recipe.stages[name].model_dump(exclude={"data"}) for name in ("rft_random", "rft"))
    assert ours == theirs
