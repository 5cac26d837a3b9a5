"""TRL arguments without a setting in orch: under their own names, refused with a reason, part of the key."""

from pathlib import Path

import pytest
import yaml

from orchestrator.errors import RecipeError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.sft import Sft
from tests.conftest import SMALL


def test_they_stand_in_the_block_under_their_own_names() -> None:
    recipe = load_recipe(SMALL, ["stages.sft.adam_epsilon=1e-7", "stages.grpo.top_k=40"])
    sft = recipe.stages["sft"]
    assert isinstance(sft, Sft) and sft.further == {"adam_epsilon": 1e-7}
    written = recipe.resolved()["stages"]
    assert written["sft"]["adam_epsilon"] == 1e-7 and written["grpo"]["top_k"] == 40
    Path("again.yaml").write_text(yaml.safe_dump(recipe.resolved(), sort_keys=False))
    assert load_recipe("again.yaml").stages == recipe.stages


def test_they_are_part_of_the_key() -> None:
    def key(*overrides: str) -> str:
        return compile_plan(load_recipe(SMALL, overrides)).stage("sft").key

    assert key("stages.sft.adam_epsilon=1e-7") == key("stages.sft.adam_epsilon=0.0000001")
    assert len({key(), key("stages.sft.adam_epsilon=1e-7"), key("stages.sft.adam_epsilon=1e-6")}) == 3


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("sft.adam_epsilo=1e-7", "unknown key 'adam_epsilo'; did you mean 'adam_epsilon'? (choices: resources, "),
        ("sft.lerning_rate=1", "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("sft.warmup_ratio=0.1", "unknown key 'warmup_ratio'; did you mean 'warmup_steps'?"),
        ("sft.top_k=40", "unknown key 'top_k'"),
        ("sft.further={adam_epsilon: 1}", "unknown key 'further'"),
        ("sft.output_dir=x", "output_dir is not set in a recipe: its files are in the stage's work folder"),
        ("sft.seed=1", "seed is not set in a recipe: the recipe's own `seed` decides it"),
        ("sft.gradient_checkpointing=true", "gradient_checkpointing is not set in a recipe: its name is activation_"),
        ("grpo.bf16=true", "bf16 is not set in a recipe: `model.dtype` and the machine decide it"),
    ],
)
def test_what_cannot_be_set_is_refused_when_the_recipe_is_read(override: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(SMALL, [f"stages.{override}"])
    (found,) = caught.value.problems
    assert found.startswith(f"override stages.{override.split('=')[0]}: {problem}")


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    "place",
    [
        "grpo.epsilon_high",
        "grpo.learning_rate",
        "grpo.top_p",
        "sft.adam_beta2",
        "sft.lora.lora_dropout",
        "sft.resources.gpus",
        "samples.resources.gpus",
    ],
)
def test_a_number_that_is_not_finite_is_refused(place: str, value: str) -> None:
    """JSON, which keys are made of, has no such number: two of them and null would be one."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(SMALL, [f"stages.{place}={value}"])
    (found,) = caught.value.problems
    assert found == f"override stages.{place}: input should be a finite number, got {value.replace('.', '')}"


def test_a_number_that_is_not_finite_is_found_inside_an_argument() -> None:
    with pytest.raises(RecipeError, match=r"lr_scheduler_kwargs\.betas\.1: input should be a finite number, got nan"):
        load_recipe(SMALL, ["stages.sft.lr_scheduler_kwargs={betas: [0.1, .nan]}"])


def test_a_worker_of_a_training_has_one_gpu_at_most() -> None:
    for stage in ("sft", "grpo"):
        with pytest.raises(RecipeError) as caught:
            load_recipe(SMALL, [f"stages.{stage}.resources.gpus=2"])
        (found,) = caught.value.problems
        assert f"stages.{stage}.resources: one worker of a training uses at most one GPU, not 2" in found
    recipe = load_recipe(SMALL, ["stages.sft.resources.gpus=1", "stages.samples.resources.gpus=2"])
    assert (recipe.stages["sft"].resources.gpus, recipe.stages["samples"].resources.gpus) == (1, 2)


def test_two_that_change_the_loss_do_not_go_together() -> None:
    with pytest.raises(RecipeError, match="answer_weight and label_smoothing_factor both change the loss"):
        load_recipe(SMALL, ["stages.sft.answer_weight=5", "stages.sft.label_smoothing_factor=0.1"])
    for weight in ("0", "-1", "nan", "much"):
        with pytest.raises(RecipeError, match="answer_weight"):
            load_recipe(SMALL, [f"stages.sft.answer_weight={weight}"])
