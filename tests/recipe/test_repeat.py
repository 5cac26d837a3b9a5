"""Rounds of a recipe's stages: what they consist of, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RecipeError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import Recipe, load_recipe, parse_recipe
from orchestrator.recipe.yaml_source import write_data
from orchestrator.stages.grpo import Grpo
from orchestrator.stages.sample import Sample
from orchestrator.stages.select import Select
from orchestrator.stages.sft import Sft
from tests.conftest import REPOSITORY

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 4}, train: {generate: 3}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft}
  samples: {type: sample, model: sft}
  chosen: {type: select, from: samples}
  rft: {type: sft, data: [demonstrations, chosen]}
  grpo: {type: grpo, model: rft}
"""
ROUNDS = "{times: 3, stages: [samples, chosen, rft]}"


def recipe(repeat: str | None = ROUNDS, *overrides: str, text: str = RECIPE) -> Recipe:
    Path("r.yaml").write_text(text + ("" if repeat is None else f"repeat: {repeat}\n"))
    return load_recipe("r.yaml", overrides)


def used(found: Recipe) -> dict[str, list[str]]:
    return {name: [one.stage for one in spec.references()] for name, spec in found.stages.items()}


def test_each_round_draws_from_the_model_of_the_round_before() -> None:
    assert used(recipe()) == {
        "sft": [],
        "samples": ["sft"],
        "chosen": ["samples"],
        "rft": ["chosen"],
        "samples_2": ["rft"],
        "chosen_2": ["samples_2"],
        "rft_2": ["chosen_2"],
        "samples_3": ["rft_2"],
        "chosen_3": ["samples_3"],
        "rft_3": ["chosen_3"],
        "grpo": ["rft"],
    }
    rft_3 = recipe().stages["rft_3"]
    assert isinstance(rft_3, Sft) and rft_3.data == ("demonstrations", "chosen_3") and rft_3.model == "base"


def test_rows_may_be_pooled_over_the_rounds() -> None:
    rft_3 = recipe("{times: 3, stages: [samples, chosen, rft], pool: true}").stages["rft_3"]
    assert isinstance(rft_3, Sft) and rft_3.data == ("demonstrations", "chosen", "chosen_2", "chosen_3")


def test_a_training_that_draws_goes_on_from_its_own_model() -> None:
    grpo = recipe("{times: 2, stages: [grpo]}").stages["grpo_2"]
    assert isinstance(grpo, Grpo) and grpo.model == "grpo"


def test_a_round_with_grpo_behind_its_rft_hands_on_what_grpo_has_made() -> None:
    """A stage that uses a model of its own round continues to do so."""
    found = recipe("{times: 2, stages: [samples, chosen, rft, grpo]}").stages
    samples, grpo = found["samples_2"], found["grpo_2"]
    assert isinstance(samples, Sample) and samples.model == "grpo"
    assert isinstance(grpo, Grpo) and grpo.model == "rft_2"


def test_the_first_round_has_the_keys_that_it_has_alone_and_each_round_has_its_own() -> None:
    alone, rounds = compile_plan(recipe(None)), compile_plan(recipe())
    keys = {stage.name: stage.key for stage in rounds.stages}
    assert {stage.name: stage.key for stage in alone.stages}.items() <= keys.items()
    assert len(set(keys.values())) == len(keys)
    more = compile_plan(recipe("{times: 4, stages: [samples, chosen, rft]}"))
    assert keys.items() <= {stage.name: stage.key for stage in more.stages}.items()


def test_later_stages_and_the_evaluation_may_name_a_round() -> None:
    text = RECIPE.replace("model: rft}", "model: rft_3}") + "evaluate: {models: [sft, rft_2]}\n"
    found = recipe(text=text)
    grpo = found.stages["grpo"]
    assert isinstance(grpo, Grpo) and grpo.model == "rft_3" and found.models() == ["sft", "rft_2"]
    assert recipe().models() == ["base", "sft", "rft", "rft_2", "rft_3", "grpo"]


def test_overrides_and_variants_change_every_round() -> None:
    found = recipe(ROUNDS, "stages.samples.n=3", "repeat.times=2")
    drawn = [spec.n for spec in found.stages.values() if isinstance(spec, Sample)]
    assert drawn == [3, 3]
    varied = found.varied({"stages.chosen.max_per_example": 2})
    assert [s.max_per_example for s in varied.stages.values() if isinstance(s, Select)] == [2, 2]
    assert "samples_2" not in recipe(ROUNDS, "repeat=null").stages


def test_what_a_run_writes_down_is_the_same_recipe_without_rounds() -> None:
    found = recipe()
    again = parse_recipe(write_data(found.resolved()), "the store")
    assert again.repeat is None and again.resolved() == found.resolved()
    assert compile_plan(again).key == compile_plan(found).key


@pytest.mark.parametrize(
    ("repeat", "said"),
    [
        ("{times: 1, stages: [samples, rft]}", "repeat.times: input should be greater than or equal to 2, got 1"),
        ("{times: 101, stages: [samples, rft]}", "repeat.times: input should be less than or equal to 100"),
        ("{times: 2, stages: []}", "repeat.stages"),
        ("{times: 2, stages: [sampels, rft]}", "repeat.stages.0: unknown stage 'sampels'; did you mean 'samples'?"),
        ("{times: 2, stages: [rft, rft]}", "repeat.stages.1: 'rft' is listed twice"),
        ("{times: 2, stages: [samples, chosen]}", "none of them makes a model: every round would be the same"),
        ("{times: 2, stages: [rft]}", "none of them draws from a model, as sample and grpo do: every round would be"),
        ("{rounds: 2, stages: [samples, rft]}", "repeat.rounds: unknown key 'rounds'"),
        ("3", "repeat: must be a block of keys, not 3"),
    ],
)
def test_rounds_that_cannot_be_are_refused(repeat: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe(repeat)
    assert all(problem.startswith("r.yaml:10: repeat") for problem in raised.value.problems)
    assert any(said in problem for problem in raised.value.problems), raised.value.problems


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "from: samples",
            "from: sft",
            ["stages.chosen.from: 'sft' is an sft stage, which makes a model; name a stage"],
        ),
        ("model: sft}", "model: sfd}", ["stages.samples.model: unknown stage 'sfd'"]),
        ("{type: sft, data", "{type: sft, lerning_rate: 1, data", ["stages.rft.lerning_rate: unknown key"]),
        (
            "  grpo:",
            "  rft_2:",
            ["stages.rft_2: repeat creates 'rft_2' from 'rft': put settings there, or rename this stage"],
        ),
    ],
)
def test_what_is_wrong_in_every_round_is_said_once(old: str, new: str, said: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe(text=RECIPE.replace(old, new))
    found: Any = raised.value.problems
    assert len(found) == len(said) and all(part in line for part, line in zip(said, found, strict=True)), found


def test_a_name_that_becomes_too_long_is_refused() -> None:
    long = "r" * 39
    with pytest.raises(RecipeError, match="a stage's name has at most 40 characters"):
        recipe(f"{{times: 2, stages: [samples, {long}]}}", text=RECIPE.replace("rft", long))


def test_the_shipped_recipe_has_the_first_round_of_the_one_that_it_iterates() -> None:
    plain, iterated = (compile_plan(load_recipe(REPOSITORY / "recipes" / f"{n}.yaml")) for n in ("rft", "rft_iterated"))
    keys = {stage.name: stage.key for stage in iterated.stages}
    ours = {stage.name: stage.key for stage in plain.stages if "grpo" not in stage.name}
    assert ours.items() <= keys.items() and {"rft_2", "rft_3"} <= set(keys)
