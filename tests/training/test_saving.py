"""When checkpoints are written: as the recipe sets, or by the clock, and only if a training can resume from them."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import TrainerControl

from orchestrator.models.reference import ModelRef
from orchestrator.models.start import ADAPTER_FILE
from orchestrator.training import saving
from orchestrator.training.grpo import run_grpo
from orchestrator.training.journal import NAME, read
from orchestrator.training.saving import Saving, resumable_every
from tests.training.test_answer_weight import furthest
from tests.training.test_training_modes import BASE, grpo


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(saving, "time", made)
    return made


def saved(
    clock: Clock, save_steps: int | None, steps: int, a_step: float, write: float = 0.0, **args: Any
) -> list[int]:
    """The steps after which a training is saved, if each step and each checkpoint takes this many seconds."""
    settings: Any = SimpleNamespace(**{"gradient_accumulation_steps": 1} | args)
    state: Any = SimpleNamespace(global_step=0)
    ours, found = Saving(save_steps), []
    clock.now += 100  # loading the model
    ours.on_train_begin(settings, state, TrainerControl())
    for step in range(1, steps + 1):
        state.global_step, clock.now, control = step, clock.now + a_step, TrainerControl()
        ours.on_step_end(settings, state, control)
        if control.should_save:
            found.append(step)
            clock.now += write
            ours.on_save(settings, state, control)
    return found


def test_without_a_setting_it_is_once_a_minute(clock: Clock) -> None:
    assert saved(clock, None, 50, 4.0) == [15, 30, 45]
    assert saved(clock, None, 5, 90.0) == [1, 2, 3, 4, 5]
    assert saved(clock, None, 1000, 0.01) == [], "a training of only seconds"


def test_writing_takes_a_twentieth_of_the_time_at_most(clock: Clock) -> None:
    steps = saved(clock, None, 1000, 10.0, write=30.0)
    assert steps[:3] == [6, 66, 126] and len(steps) * 30 <= 0.05 * 1000 * 10 + 30


def test_a_setting_is_kept(clock: Clock) -> None:
    assert saved(clock, 4, 10, 500.0) == [4, 8]


@pytest.mark.parametrize(
    ("args", "every"),
    [
        ({}, 1),
        ({"num_iterations": 2}, 2),
        ({"steps_per_generation": 2, "gradient_accumulation_steps": 2}, 1),
        ({"steps_per_generation": 8, "gradient_accumulation_steps": 2, "num_iterations": 3}, 12),
        ({"steps_per_generation": 3, "gradient_accumulation_steps": 2}, 3),
    ],
)
def test_not_while_drawn_completions_are_still_to_be_used(clock: Clock, args: dict[str, int], every: int) -> None:
    settings: Any = SimpleNamespace(**{"gradient_accumulation_steps": 1} | args)
    assert resumable_every(settings) == every
    assert saved(clock, 1, 24, 1.0, **args) == list(range(every, 25, every))


def test_a_training_that_uses_completions_twice_resumes_as_if_undisturbed(tmp_path: Path) -> None:
    settings = {"max_steps": 5, "num_iterations": 2, "save_steps": 1, "learning_rate": 1e-3}
    run_grpo(grpo(tmp_path / "whole", ModelRef("base", BASE), **settings))
    written = {path.name for path in (tmp_path / "whole" / "checkpoints").glob("checkpoint-*")}
    assert written == {"checkpoint-4", "checkpoint-5"}, "the last two; those of 1 and 3 are not written"
    killed = grpo(tmp_path / "killed", ModelRef("base", BASE), **settings)
    kept = Path("checkpoints", "checkpoint-4")
    shutil.copytree(tmp_path / "whole" / kept, tmp_path / "killed" / kept)
    run_grpo(killed)
    one, other = (load_file(tmp_path / name / "model" / ADAPTER_FILE) for name in ("whole", "killed"))
    assert furthest(one, other) == 0
    drawn = [
        {name: value for name, value in record["metrics"].items() if "time" not in name}
        for folder in ("whole", "killed")
        for record in read(tmp_path / folder / NAME)
        if record["step"] == 5 and "metrics" in record
    ]
    assert len(drawn) == 2 and drawn[0] == drawn[1] and drawn[0]["completions/mean_length"] > 0
