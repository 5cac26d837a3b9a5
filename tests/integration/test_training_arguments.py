"""Further arguments of TRL's: the names shipped are those of the TRL that is installed, values are of its types."""

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ConfigDict, TypeAdapter
from trl import GRPOConfig, SFTConfig

from orchestrator.errors import StageError
from orchestrator.health.arguments import argument_findings
from orchestrator.model_ref import ModelRef
from orchestrator.plan import compile_plan
from orchestrator.recipe import load_recipe
from orchestrator.stage_specs import GrpoSpec, SftSpec, TrainingSpec
from orchestrator.training.configuration import grpo_config, sft_config
from orchestrator.training.job import TrainingJob
from orchestrator.trl_arguments import GRPO_ARGUMENTS, SET_BY_ORCH, SFT_ARGUMENTS
from tests.conftest import SMALL

KINDS = [(SftSpec, SFTConfig, SFT_ARGUMENTS), (GrpoSpec, GRPOConfig, GRPO_ARGUMENTS)]


@pytest.mark.parametrize(("spec", "config", "shipped"), KINDS)
def test_every_argument_of_trl_is_a_setting_or_free_or_refused(
    spec: type[TrainingSpec], config: type[Any], shipped: tuple[str, ...]
) -> None:
    fields = {field.name for field in dataclasses.fields(config) if field.init}
    assert set(shipped) <= fields
    assert not set(shipped) & set(SET_BY_ORCH)
    assert not set(spec.model_fields) & set(SET_BY_ORCH)
    assert fields - set(shipped) - set(SET_BY_ORCH) - set(spec.model_fields) == set()
    assert len(set(shipped)) == len(shipped)


def test_what_is_refused_is_an_argument() -> None:
    fields = {field.name for config in (SFTConfig, GRPOConfig) for field in dataclasses.fields(config)}
    assert set(SET_BY_ORCH) <= fields


@pytest.mark.parametrize(("spec", "config", "shipped"), KINDS)
def test_every_free_argument_has_a_type_to_be_held_against(
    spec: type[TrainingSpec], config: type[Any], shipped: tuple[str, ...]
) -> None:
    types = get_type_hints(config)
    for name in shipped:
        TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))


def job(**settings: Any) -> TrainingJob:
    plan = compile_plan(load_recipe(SMALL))
    kind = GrpoSpec if settings.get("type") == "grpo" else SftSpec
    spec = kind.model_validate({"type": "sft", **settings})
    return TrainingJob(Path("work"), ModelRef("base", plan.base), plan.recipe.task.format, spec, 7, 1)


def test_arguments_reach_trl_under_their_own_names() -> None:
    made = sft_config(job(adam_epsilon=1e-7, label_smoothing_factor=0.1, lr_scheduler_kwargs={"num_cycles": 2}))
    assert (made.adam_epsilon, made.label_smoothing_factor) == (1e-7, 0.1)
    assert made.lr_scheduler_kwargs == {"num_cycles": 2}
    assert (made.seed, made.save_total_limit, made.activation_checkpointing) == (7, 2, False)
    other = grpo_config(job(type="grpo", epsilon_high=0.3, top_k=40, activation_checkpointing=True))
    assert (other.epsilon_high, other.top_k, other.activation_checkpointing) == (0.3, 40, True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"adam_epsilon": "small"}, "adam_epsilon: input should be a valid number"),
        ({"lr_scheduler_kwargs": [1]}, "lr_scheduler_kwargs: input should be"),
        ({"optim": "adamm"}, "TRL does not take optim: "),
    ],
)
def test_a_value_that_trl_could_not_use_is_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(StageError, match=says):
        sft_config(job(**settings))


def test_check_finds_it_before_the_run() -> None:
    plan = compile_plan(load_recipe(SMALL, ["stages.grpo.top_k=many", "stages.sft.adam_epsilon=1e-7"]))
    (finding,) = [f for stage in plan.stages for f in argument_findings(plan, stage)]
    assert (finding.check, finding.severity) == ("argument-refused", "error")
    assert finding.what.startswith("stage grpo: top_k: input should be a valid integer")
