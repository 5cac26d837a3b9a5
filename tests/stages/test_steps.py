"""How many steps a training takes, and which settings do not fit them."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.plan import Plan, compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.stages.training import Training
from orchestrator.types import Finding
from tests.conftest import SMALL


def planned(*overrides: str) -> Plan:
    return compile_plan(load_recipe(SMALL, overrides))


def found(stage: str, *overrides: str) -> list[Finding]:
    made = planned(*(f"stages.{stage}.{o}" if not o.startswith(("task", "stages")) else o for o in overrides))
    return list(made.stage(stage).spec.settings_findings(stage, made.recipe.task, made.recipe.stages))


def checks(stage: str, *overrides: str) -> list[tuple[str, str]]:
    return [(f.check, f.severity) for f in found(stage, *overrides)]


def spec(stage: str, *overrides: str) -> tuple[Plan, Training]:
    made = planned(*overrides)
    found = made.stage(stage).spec
    assert isinstance(found, Training)
    return made, found


def rows(made: Plan, training: Training) -> tuple[int, int]:
    bounds = training.bounds(made.recipe.task, made.recipe.stages)
    return bounds.least, bounds.most


# --- the small recipe: 120 demonstrations, 48 training questions with 4 draws each, of which at most 2 are kept


def test_rows_are_known_as_far_as_nothing_has_to_be_drawn_first() -> None:
    made, sft = spec("sft")
    assert rows(made, sft) == (120, 120)
    made, rft = spec("rft")
    assert rows(made, rft) == (121, 120 + 2 * 48)
    made, rft = spec("rft", "stages.chosen.max_per_example=null", "stages.chosen.allow_empty=true")
    assert rows(made, rft) == (120, 120 + 4 * 48)
    made, grpo = spec("grpo")
    assert rows(made, grpo) == (48, 48)


@pytest.mark.parametrize("stage", ["sft", "rft", "grpo"])
def test_healthy_stages(stage: str) -> None:
    assert found(stage) == []


# --- GRPO: questions in a step


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"per_device_train_batch_size": 400}, 100),
        ({"per_device_train_batch_size": 200}, 50),
        ({"per_device_train_batch_size": 196}, 49),
        ({"per_device_train_batch_size": 192}, 0),
        ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 16}, 64),
        ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 12}, 0),
        ({"per_device_train_batch_size": 16, "steps_per_generation": 16}, 64),
        ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 16, "steps_per_generation": 1}, 0),
        ({"per_device_train_batch_size": 16, "generation_batch_size": 208}, 52),
        ({"per_device_train_batch_size": 400, "num_generations": 10}, 0),
    ],
)
def test_grpo_needs_the_questions_of_one_step(settings: dict[str, int], wanted: int) -> None:
    told = found("grpo", *(f"{name}={value}" for name, value in settings.items()))
    assert [(f.check, f.severity) for f in told] == ([("too-few-questions", "error")] if wanted else [])
    if wanted:
        assert told[0].what == f"stage grpo: a step of GRPO takes {wanted} questions, and task.train has 48"


def test_the_advice_on_grpo_is_good() -> None:
    (told,) = found("grpo", "per_device_train_batch_size=400")
    size = int(told.remedy.split("batch_size to ")[1].split()[0])
    assert size == 192 and found("grpo", f"per_device_train_batch_size={size}") == []


def test_a_question_too_few_is_too_few_whatever_the_length() -> None:
    assert checks("grpo", "task.train.generate=3") == [("too-few-questions", "error")]
    assert checks("grpo", "task.train.generate=4") == []
    assert checks("grpo", "task.train.generate=3", "max_steps=null", "num_train_epochs=100") == [
        ("too-few-questions", "error")
    ]


def test_questions_of_the_demonstrations_count_where_they_are_asked() -> None:
    assert checks("grpo", "prompts=demonstrations", "per_device_train_batch_size=480") == []


# --- SFT: rows in a batch


def test_fewer_rows_than_a_batch_are_an_error_only_where_such_a_batch_is_left_out() -> None:
    assert checks("sft", "per_device_train_batch_size=500") == []
    dropped = ("per_device_train_batch_size=500", "dataloader_drop_last=true")
    assert checks("sft", *dropped) == [("too-few-rows", "error")]
    assert checks("sft", "per_device_train_batch_size=120", "dataloader_drop_last=true") == []
    assert checks("rft", "per_device_train_batch_size=217", "dataloader_drop_last=true") == [("too-few-rows", "error")]
    assert checks("rft", "per_device_train_batch_size=216", "dataloader_drop_last=true") == [], "it may be enough"


# --- warm-up

EPOCHS = ("max_steps=null", "per_device_train_batch_size=16")
"""The training's length is given in epochs of batches."""


@pytest.mark.parametrize(
    ("overrides", "severity"),
    [
        (["warmup_steps=39"], None),
        (["warmup_steps=0.1"], None),
        (["warmup_steps=0.97"], None),
        (["warmup_steps=40"], "warning"),
        (["warmup_steps=41"], "warning"),
        (["warmup_steps=78"], "warning"),
        (["warmup_steps=79"], "error"),
        (["warmup_steps=1000", "lr_scheduler_type=cosine"], "error"),
        (["warmup_steps=100", "lr_scheduler_type=constant_with_warmup"], "error"),
        (["max_steps=1", "warmup_steps=1"], "error"),
        (["max_steps=1", "warmup_steps=0.1"], "error"),
        ([*EPOCHS, "num_train_epochs=3", "warmup_steps=23"], None),
        ([*EPOCHS, "num_train_epochs=3", "warmup_steps=50"], "error"),
        ([*EPOCHS, "num_train_epochs=0.5", "warmup_steps=5"], "warning"),
    ],
)
def test_a_warmup_that_outlasts_the_training(overrides: list[str], severity: str | None) -> None:
    assert checks("sft", *overrides) == ([("warmup-too-long", severity)] if severity else [])


def test_of_rows_yet_to_be_drawn_the_most_are_taken() -> None:
    length = (*EPOCHS, "num_train_epochs=1")  # 8 to 14 steps
    assert checks("rft", *length, "warmup_steps=13") == []
    (told,) = found("rft", *length, "warmup_steps=27")
    assert told.severity == "error" and "which has at most 14 steps" in told.what


def test_the_advice_on_warmup_is_good() -> None:
    (told,) = found("sft", "warmup_steps=100")
    assert "set stages.sft.warmup_steps to 4, or to a share of the steps such as 0.1" in told.remedy
    assert found("sft", "warmup_steps=4") == []


def test_a_warmup_that_the_schedule_passes_over() -> None:
    assert checks("sft", "warmup_steps=5", "lr_scheduler_type=constant") == [("warmup-ignored", "warning")]


# --- counted as TRL counts


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("sft", {"num_train_epochs": 3}),
        ("sft", {"num_train_epochs": 2.5, "gradient_accumulation_steps": 3}),
        ("sft", {"num_train_epochs": 2, "dataloader_drop_last": True, "per_device_train_batch_size": 50}),
        ("sft", {"num_train_epochs": 1, "per_device_train_batch_size": 500, "gradient_accumulation_steps": 4}),
        ("grpo", {"num_train_epochs": 1}),
        ("grpo", {"num_train_epochs": 2, "num_iterations": 3, "gradient_accumulation_steps": 4}),
        ("grpo", {"num_train_epochs": 1, "steps_per_generation": 5, "per_device_train_batch_size": 8}),
        ("grpo", {"num_train_epochs": 1.5, "generation_batch_size": 48}),
    ],
)
def test_steps_are_those_of_the_trainers(stage: str, settings: dict[str, Any], tmp_path: Path) -> None:
    from datasets import Dataset

    from orchestrator.models.loading import load_base, load_tokenizer
    from orchestrator.models.reference import ModelRef
    from orchestrator.training import grpo as grpo_module
    from orchestrator.training.configuration import grpo_config, sft_config
    from orchestrator.training.invariants import RowTrainer
    from orchestrator.training.job import TrainingJob
    from orchestrator.training.sft import collator

    overrides = [f"stages.{stage}.{name}={json.dumps(value)}" for name, value in settings.items()]
    made, wanted = spec(stage, f"stages.{stage}.max_steps=null", *overrides)
    job = TrainingJob(tmp_path, ModelRef("base", made.base), made.recipe.task.format, wanted, 0, 1)
    tokenizer, model = load_tokenizer(made.base), load_base(made.base)
    n = rows(made, wanted)[1]
    if stage == "sft":
        data = Dataset.from_dict({"input_ids": [[5, 6]] * n, "labels": [[5, 6]] * n, "row": list(range(n))})
        trainer: Any = RowTrainer(
            model=model,
            args=sft_config(job),
            train_dataset=data,
            data_collator=collator(tokenizer),
            processing_class=tokenizer,
        )
    else:
        trainer = grpo_module._Trainer(
            model=model,
            args=grpo_config(job),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            train_dataset=Dataset.from_dict({"prompt": ["x"] * n}),
            processing_class=tokenizer,
        )
    counted = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    assert wanted.steps(n) == counted[-1]
