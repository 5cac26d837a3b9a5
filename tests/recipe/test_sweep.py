"""The `sweep` block: what is refused, in one line with its location, and what is filled in."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RecipeError
from orchestrator.recipe.recipe import Recipe, load_recipe, load_sweep
from orchestrator.recipe.sweep import Parameter, Sweep
from orchestrator.recipe.yaml_source import write_data
from orchestrator.sweeps.variants import Variants
from tests.conftest import REPOSITORY

SWEEP = REPOSITORY / "tests" / "sweep.yaml"
RATE = "stages.tuned.learning_rate"


def written(tmp_path: Path, **changes: Any) -> Path:
    """The recipe with another `sweep` block: `changes` replace its keys, None removes one."""
    text = SWEEP.read_text().partition("sweep:\n")[0]
    block: dict[str, Any] = {
        "method": "grid",
        "metric": {"name": "tuned/accuracy", "on": "validation"},
        "parameters": {RATE: [1e-3, 2e-3]},
    }
    block = {key: value for key, value in (block | changes).items() if value is not None}
    file = tmp_path / "recipe.yaml"
    file.write_text(text + write_data({"sweep": block}))
    return file


def refused(file: Path) -> str:
    """The one problem of a recipe, found before anything is run."""
    with pytest.raises(RecipeError) as error:
        Variants(load_recipe(file))
    [problem] = error.value.problems
    assert "\n" not in problem and problem.startswith(f"{file}:")
    return problem.partition(" sweep")[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "gird"}, "method: unknown value 'gird'; did you mean 'grid'?"),
        ({"parms": 1}, "parms: unknown key 'parms'; did you mean 'parameters'?"),
        ({"parameters": {}}, "parameters: has no parameter"),
        ({"parameters": {"stages.tuned.learning_rat": [1]}}, "unknown key 'learning_rat'; did you mean"),
        ({"parameters": {"stages.tunde.learning_rate": [1, 2]}}, "unknown stage 'tunde'; did you mean 'tuned'?"),
        ({"parameters": {RATE: []}}, f"parameters.{RATE}: has no values"),
        ({"parameters": {RATE: [1e-3, 1e-3]}}, f"parameters.{RATE}: lists 0.001 twice"),
        ({"parameters": {RATE: [1e-3, -1]}}, f"parameters.{RATE}: input should be greater than 0, got -1"),
        ({"parameters": {RATE: 1e-3}}, "must be a list of values, or a block"),
        ({"parameters": {RATE: {"value": 1e-3}}}, "a single value varies nothing"),
        ({"parameters": {RATE: {"min": 1, "max": 0.5}}}, f"parameters.{RATE}: min 1 is above max 0.5"),
        ({"parameters": {RATE: {"min": 1, "max": 1}}}, "varies nothing"),
        ({"parameters": {RATE: {"min": 1}}}, "needs values, or both min and max"),
        ({"parameters": {RATE: {"min": 1e-4, "max": 1e-3}}}, "a grid tries listed values"),
        (
            {"parameters": {RATE: {"min": -9, "max": -6, "distribution": "log_uniform"}}},
            "its bounds are exponents in W&B; write log_uniform_values",
        ),
        ({"parameters": {RATE: {"min": 0, "max": 1, "distribution": "log_uniform_values"}}}, "must be above 0"),
        ({"parameters": {RATE: {"min": 0, "max": 1, "distribution": "normal"}}}, "unknown distribution 'normal'"),
        ({"parameters": {"stages.tuned.max_steps": {"min": 1, "max": 2.5, "distribution": "int_uniform"}}}, "whole"),
        ({"parameters": {RATE: {"min": 0, "max": 1, "q": 0.1}}}, "q goes with distribution: q_uniform"),
        ({"parameters": {"seed": [0, 1]}}, "'seed' cannot be varied: list seeds under sweep.seeds"),
        ({"parameters": {"evaluate.max_tokens": [8, 9]}}, "'evaluate.max_tokens' cannot be varied"),
        ({"parameters": {"task.validation": [{"generate": 9}, {"generate": 8}]}}, "changes the questions of valid"),
        ({"parameters": {"stages.warm.logging_steps": [5, 6]}}, "changes nothing that affects tuned"),
        ({"parameters": {"model.name": ["tiny", "no/such"]}}, "no/such"),
        ({"metric": {"name": "tuend/accuracy"}}, "metric.name: unknown model 'tuend'; did you mean 'tuned'?"),
        ({"metric": {"name": "tuned"}}, "metric.name: must read MODEL/accuracy"),
        ({"metric": {"name": "tuned/loss"}}, "metric.name: unknown metric 'loss' (choices: accuracy)"),
        ({"metric": {"name": "tuned/accuracy", "on": "test"}}, "metric.on: test is what the winner is reported on"),
        ({"metric": {"name": "tuned/accuracy", "on": "train"}}, "metric.on: train is what models are trained on"),
        ({"metric": {"name": "tuned/accuracy", "on": "dev"}}, "metric.on: unknown split 'dev'"),
        ({"linked": [{RATE: 1e-3}, {"stages.tuned.max_steps": 2}], "parameters": None}, "every row must set the same"),
        ({"linked": [{RATE: 1e-3}], "parameters": None}, "linked: has one row"),
        ({"linked": [{RATE: 1e-3}, {RATE: 2e-3}]}, "is in parameters and in linked"),
        ({"seeds": [1, 1]}, "seeds: seed 1 is listed twice"),
        ({"seeds": [0, 1], "finalists": 2}, "seeds and finalists both say"),
        ({"method": "tpe"}, "run_cap is missing: tpe continues"),
        ({"parameters": {RATE: [1, 1.0]}}, f"parameters.{RATE}: lists 1.0 twice"),
        ({"parameters": {RATE: [1e-3, float("nan")]}}, "not a finite number"),
        ({"parameters": {"stages": [1, 2]}}, "names no setting: write stages.NAME.SETTING"),
        (
            {"parameters": {RATE: [1e-3, 2e-3], "stages.tuned": [{"type": "sft", "max_steps": 1}, {"type": "sft"}]}},
            f"{RATE} is a part of stages.tuned, which is varied too",
        ),
        ({"linked": [{RATE: 1}, {RATE: 1.0}], "parameters": None}, "linked: row 1 repeats an earlier row"),
        (
            {
                "method": "random",
                "run_cap": 2,
                "parameters": {RATE: {"min": 0, "max": 0.1, "distribution": "q_uniform", "q": 1}},
            },
            "q 1 is larger than max - min",
        ),
        (
            {"method": "random", "run_cap": 2, "parameters": {"stages.tuned.max_steps": {"min": 1, "max": 10**22}}},
            "between -2^53 and 2^53",
        ),
        (
            {"seeds": [0, 1], "early_terminate": {"type": "paired"}},
            "early_terminate: relies on one training per trial",
        ),
        ({"seeds": 3}, "seeds: must be a list of seeds"),
        ({"run_cap": 0}, "run_cap: input should be greater than 0"),
        ({"budget": {"gpu_hours": -1}}, "budget.gpu_hours: input should be greater than 0"),
        ({"budget": {}}, "budget: needs either hours or gpu_hours"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate.type: unknown type 'hyperband'"),
        ({"early_terminate": {"type": "asha"}}, "early_terminate.min_steps: is missing"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(written(tmp_path, **changes))


def test_a_split_to_choose_on_has_to_be_there(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text().replace("  validation: {generate: 24}\n", ""))
    assert "metric.on: the task has no validation split" in refused(file)


def test_trials_can_be_ended_early_only_where_they_are_measured(tmp_path: Path) -> None:
    file = written(tmp_path, early_terminate={"type": "paired"})
    file.write_text(file.read_text().replace("    validation: {every: 4, questions: 12, select: last}\n", ""))
    assert "early_terminate: needs measurements during training: give stages.tuned a validation block" in refused(file)


def test_the_block_changes_nothing_that_the_recipe_makes(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(SWEEP.read_text().partition("sweep:\n")[0])
    with_block = load_recipe(SWEEP)
    assert with_block.resolved() == load_recipe(plain).resolved()
    assert with_block.sweep is not None and with_block.sweep.names == (RATE,)


def test_several_values_on_the_command_line_are_a_grid(tmp_path: Path) -> None:
    def swept(*overrides: str) -> Sweep:
        found: Recipe = load_sweep(SWEEP, overrides)
        assert found.sweep is not None
        return found.sweep

    made = swept(f"{RATE}=1e-3,4e-3", "stages.tuned.max_steps=2,4,6", "stages.warm.max_steps=4")
    assert made.size == 6 and made.names == (RATE, "stages.tuned.max_steps")
    assert made.parameters[RATE] == Parameter(values=(1e-3, 4e-3))
    assert made.metric is not None and made.metric.name == "tuned/accuracy"
    assert swept("task.questions={largest: 50, decimals: 0}").names == (RATE,), "commas inside a block make no list"
    assert load_sweep(SWEEP, [f"{RATE}=1e-3,4e-3", "stages.warm.max_steps=4"]).written.overrides == {
        "stages.warm.max_steps": 4
    }
    assert swept("sweep.run_cap=2").run_cap == 2


def test_a_setting_is_given_once_on_the_command_line() -> None:
    for twice in ([f"{RATE}=1e-3,2e-3", f"{RATE}=4e-3"], [f"{RATE}=4e-3", f"{RATE}=1e-3,2e-3"], [f"{RATE}=1,2"] * 2):
        with pytest.raises(RecipeError, match="is given twice: list all of its values once"):
            load_sweep(SWEEP, twice)
    with pytest.raises(RecipeError, match="must read key=value"):
        load_sweep(SWEEP, ["=1,2"])


def test_finalists_get_the_seeds_that_the_recipe_lists(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, finalists=2), ["seeds=[4, 0, 7]"])
    made = Variants(recipe)
    assert made.seeds == (4,) and made.more_seeds == (0, 7)
    assert Variants(load_recipe(written(tmp_path, finalists=2))).more_seeds == (1, 2)


def test_what_is_left_open_is_filled_in() -> None:
    assert Parameter(values=("a", "b")).kind == "categorical"
    assert Parameter(min=1, max=4).kind == "int_uniform" and Parameter(min=1, max=4).examples() == (1, 4)
    assert Parameter(min=0.5, max=4).kind == "uniform" and Parameter(min=0.5, max=4).examples() == (0.5, 4.0)
    bare = Sweep(parameters={RATE: Parameter(values=(1, 2))}, linked=({"a.b": 1}, {"a.b": 2}, {"a.b": 3}))
    assert bare.size == 6
    assert Sweep(parameters={RATE: Parameter(min=1, max=2)}, method="tpe", run_cap=3).size is None
