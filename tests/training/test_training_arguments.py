"""Further TRL arguments: the names shipped are those of the installed TRL, and values have its types."""

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import ConfigDict, TypeAdapter
from transformers.trainer_utils import SchedulerType
from trl import GRPOConfig, SFTConfig

from orchestrator.errors import StageError
from orchestrator.health.arguments import argument_findings
from orchestrator.models.loading import load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.grpo import Grpo
from orchestrator.stages.sft import Sft
from orchestrator.stages.training import Training
from orchestrator.training.configuration import grpo_config, sft_config
from orchestrator.training.job import TrainingJob
from orchestrator.training.sft import collator
from orchestrator.training.trl_arguments import GRPO_ARGUMENTS, SET_BY_ORCH, SFT_ARGUMENTS, Scheduler
from orchestrator.training.weighted import WEIGHTS
from tests.conftest import SMALL

KINDS = [(Sft, SFTConfig, SFT_ARGUMENTS), (Grpo, GRPOConfig, GRPO_ARGUMENTS)]


@pytest.mark.parametrize(("spec", "config", "shipped"), KINDS)
def test_every_argument_of_trl_is_a_setting_or_free_or_refused(
    spec: type[Training], config: type[Any], shipped: tuple[str, ...]
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
    spec: type[Training], config: type[Any], shipped: tuple[str, ...]
) -> None:
    types = get_type_hints(config)
    for name in shipped:
        TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))


def job(**settings: Any) -> TrainingJob:
    plan = compile_plan(load_recipe(SMALL))
    kind = Grpo if settings.get("type") == "grpo" else Sft
    spec = kind.model_validate({"type": "sft", **settings})
    return TrainingJob(Path("work"), ModelRef("base", plan.base), plan.recipe.task.format, spec, 7, 1)


def test_arguments_reach_trl_under_their_own_names() -> None:
    restarts = {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}}
    made = sft_config(job(adam_epsilon=1e-7, label_smoothing_factor=0.1, **restarts))
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
        ({"optim": "adamm"}, "TRL rejected optim: "),
        (
            {"lr_scheduler_type": "warmup_stable_decay"},
            r"lr_scheduler_type: warmup_stable_decay does .* None: .*decay_steps",
        ),
        (
            {"lr_scheduler_kwargs": {"cycles": 2}},
            "lr_scheduler_type: linear does not take .* {'cycles': 2}: .*'cycles'",
        ),
    ],
)
def test_a_value_that_trl_could_not_use_is_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(StageError, match=says):
        sft_config(job(**settings))


NEEDS = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 5},
}


def test_every_schedule_of_transformers_is_there_but_those_that_go_by_an_evaluation() -> None:
    names = {kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau", "greedy"}
    assert set(get_args(Scheduler)) == names
    for name in names:
        made = sft_config(job(lr_scheduler_type=name, lr_scheduler_kwargs=NEEDS.get(name)))
        assert made.lr_scheduler_type == name


def test_rows_are_padded_as_the_recipe_says() -> None:
    plan = compile_plan(load_recipe(SMALL))
    tokenizer, rows = load_tokenizer(plan.base), [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}] * 2
    weights = [row | {WEIGHTS: [0.0, 1.0, 5.0]} for row in rows]
    multiple = sft_config(job(pad_to_multiple_of=8)).pad_to_multiple_of
    for weighted in (False, True):
        batch = collator(tokenizer, weighted, multiple)(weights if weighted else rows)
        assert {tuple(value.shape) for value in batch.values()} == {(2, 8)}
        assert batch["labels"][0].tolist() == [-100, 6, 7] + [-100] * 5


def test_check_finds_it_before_the_run() -> None:
    plan = compile_plan(load_recipe(SMALL, ["stages.grpo.top_k=many", "stages.sft.adam_epsilon=1e-7"]))
    (finding,) = [f for stage in plan.stages for f in argument_findings(plan, stage)]
    assert (finding.check, finding.severity) == ("argument-refused", "error")
    assert finding.what.startswith("stage grpo: top_k: input should be a valid integer")
    plan = compile_plan(load_recipe(SMALL, ["stages.sft.lr_scheduler_type=warmup_stable_decay"]))
    (finding,) = [f for stage in plan.stages for f in argument_findings(plan, stage)]
    assert finding.what.startswith("stage sft: lr_scheduler_type: warmup_stable_decay does not take")
