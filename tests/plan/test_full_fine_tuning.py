"""`lora: null`: which models are whole, what depends on what, which keys are the same."""

from pathlib import Path

import pytest
import yaml

from orchestrator.errors import ModelError, RecipeError
from orchestrator.models.base import TINY
from orchestrator.models.settings import Lora
from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.graph import find_model, is_adapter, whole_stage
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.stages.sft import Sft
from tests.conftest import SMALL

FULL = "stages.sft.lora=null"


def plan(*overrides: str) -> Plan:
    return compile_plan(load_recipe(SMALL, overrides))


def again(recipe: Recipe) -> Recipe:
    Path("again.yaml").write_text(yaml.safe_dump(recipe.resolved(), sort_keys=False))
    return load_recipe("again.yaml")


@pytest.mark.parametrize("override", [FULL, "stages.sft.lora={}", "stages.sft.lora={r: 4}", "seed=0"])
def test_a_resolved_recipe_says_the_same_of_its_adapters(override: str) -> None:
    recipe = load_recipe(SMALL, [override])
    assert again(recipe).stages == recipe.stages
    assert [s.key for s in compile_plan(again(recipe)).stages] == [s.key for s in compile_plan(recipe).stages]


def test_a_default_adapter_has_one_key_however_it_is_written() -> None:
    plain = plan().stage("sft").key
    assert plan("stages.sft.lora={}").stage("sft").key == plain
    assert plan(f"stages.sft.lora={Lora().model_dump(mode='json')}").stage("sft").key == plain
    assert plan("stages.sft.lora={r: 4}").stage("sft").key != plain
    assert plan(FULL).stage("sft").key not in (plain, plan("stages.sft.lora={r: 4}").stage("sft").key)


def test_settings_that_came_later_leave_old_keys_alone() -> None:
    settings = Sft.model_validate({"type": "sft"}).settings()
    assert settings["lora"] is None
    assert not {"answer_weight", "activation_checkpointing"} & set(settings)
    assert Sft.model_validate({"type": "sft", "answer_weight": 5}).settings()["answer_weight"] == 5


def test_what_a_model_stands_on() -> None:
    stages = load_recipe(SMALL, ["stages.rft.model=sft", "stages.rft.lora=null"]).stages
    assert whole_stage(stages, "base") is None and not is_adapter(stages, "base")
    assert whole_stage(stages, "sft") is None and is_adapter(stages, "sft")
    assert whole_stage(stages, "rft") == "rft" and not is_adapter(stages, "rft")
    assert whole_stage(stages, "grpo") == "rft" and is_adapter(stages, "grpo")


def test_a_stage_reads_the_whole_model_under_its_adapter() -> None:
    made = plan("stages.rft.lora=null")
    inputs = {stage.name: stage.inputs for stage in made.stages}
    assert inputs["grpo"] == ("rft",) and inputs["evaluate.rft"] == ("rft",)
    assert inputs["evaluate.grpo"] == ("grpo", "rft")
    assert inputs["evaluate.sft"] == ("sft",) and inputs["evaluate.base"] == ()


def test_a_model_is_found_where_its_stages_left_it(tmp_path: Path) -> None:
    made = plan("stages.rft.lora=null")
    (tmp_path / "rft").symlink_to(TINY)
    whole = find_model(made.recipe.stages, made.start, "rft", tmp_path.joinpath)
    assert whole.adapter is None and whole.base.location == str(TINY.resolve())
    on_top = find_model(made.recipe.stages, made.start, "grpo", tmp_path.joinpath)
    assert on_top.base == whole.base and on_top.adapter == str(tmp_path / "grpo")
    adapter = find_model(made.recipe.stages, made.start, "sft", tmp_path.joinpath)
    assert adapter.base == made.base and adapter.adapter == str(tmp_path / "sft")


def test_a_whole_model_that_is_gone_is_named(tmp_path: Path) -> None:
    made = plan("stages.rft.lora=null")
    with pytest.raises(ModelError, match="rft does not exist"):
        find_model(made.recipe.stages, made.start, "grpo", tmp_path.joinpath)


def test_a_new_adapter_may_stand_on_a_whole_model_and_not_on_another() -> None:
    on_whole = load_recipe(SMALL, ["stages.rft.lora=null", "stages.grpo.lora={r: 4}"])
    assert whole_stage(on_whole.stages, "grpo") == "rft"
    with pytest.raises(RecipeError, match=r"stages\.grpo\.lora: training continues on the adapter of 'rft'"):
        load_recipe(SMALL, ["stages.grpo.lora={r: 4}"])


def test_a_dtype_is_part_of_every_key_but_the_one_chosen_by_itself() -> None:
    keys = [stage.key for stage in plan().stages]
    assert [stage.key for stage in plan("model.dtype=auto").stages] == keys
    other = plan("model.dtype=float32")
    assert not {stage.key for stage in other.stages} & set(keys)
    assert other.base.dtype == "float32"
    with pytest.raises(RecipeError, match="did you mean 'bfloat16'"):
        plan("model.dtype=bf16")
