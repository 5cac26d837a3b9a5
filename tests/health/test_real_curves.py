"""Curves of real trainings (tests/data/curves, made by its make.py): the finding on each; none on the healthy ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.health.curves.read import read_curves
from orchestrator.health.curves.reading import Reading
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "tests" / "data" / "curves"
HEALTHY = sorted(p.stem for kind in ("recipe", "validated", "healthy") for p in FOLDER.glob(f"{kind}_*.json"))
TOLD = {
    "overfitted": ("overfitting", "info", "set max_steps from 200 to 30, or train on more rows"),
    "thrown_out": (
        "nothing-learned",
        "error",
        "set learning_rate from 0.03 to 0.003, warmup_steps from 0 to 0.1 and max_grad_norm from 0 to 0.8",
    ),
    "diverged": ("loss-too-high", "error", "set learning_rate from 0.06 to 0.006 and max_grad_norm from 0 to 0.8"),
    "last_alone": (
        "last-evaluation-alone",
        "warning",
        "do not choose a model by it; set validation.questions from 60 to 240 and validation.every from 10 to 5",
    ),
    "left_the_minimum": (
        "training-unstable",
        "warning",
        "set learning_rate from 0.022 to 0.0073 and max_grad_norm from 0 to 1",
    ),
    "still": ("nothing-learned", "error", "set learning_rate from 1e-07 to 0.0002"),
    "too_short": ("too-short", "warning", "set max_steps from 60 to 120"),
    "spikes": ("loss-spikes", "warning", "set adam_beta2 from 0.999 to 0.95; and look at the rows of those steps"),
    "words_only": (
        "answers-not-learned",
        "warning",
        "set answer_weight from 1 to 5, and look at the model's completions with `orch ask`",
    ),
}


HEADLINES = {"sft": "loss", "grpo": "reward"}


def kept(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def told(name: str) -> tuple[Reading, ...]:
    data = kept(name)
    return read_curves(HEADLINES[data["verb"]], data["curves"], data["settings"])


@pytest.mark.parametrize("name", TOLD)
def test_a_training_gone_wrong_is_told_by_its_shape(name: str) -> None:
    (reading,) = told(name)
    assert (reading.finding.check, reading.finding.severity, reading.finding.remedy) == TOLD[name]
    steps = {step for step, _ in kept(name)["curves"][reading.curve]}
    assert set(reading.steps) <= steps, "only logged steps are marked"


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_left_alone(name: str) -> None:
    assert told(name) == ()


@pytest.mark.parametrize("name", HEALTHY)
def test_no_evaluation_of_a_healthy_training_stands_alone_while_it_is_the_last(name: str) -> None:
    data = kept(name)
    for step, _ in data["curves"].get("eval_accuracy", ()):
        begun = {curve: [p for p in points if p[0] <= step] for curve, points in data["curves"].items()}
        found = [reading.finding.check for reading in read_curves(HEADLINES[data["verb"]], begun, data["settings"])]
        assert "last-evaluation-alone" not in found, step


def test_the_spikes_are_where_the_rows_of_noise_were() -> None:
    """Three of the four rows came after the first steps: their losses and gradients are many times the usual ones."""
    (reading,) = told("spikes")
    norms = dict(kept("spikes")["curves"]["grad_norm"])
    usual = sorted(norms.values())[len(norms) // 2]
    assert reading.steps == (26, 47, 121) and all(norms[step] > 5 * usual for step in reading.steps)


def test_each_file_is_there_for_a_test() -> None:
    looked_at = [name for name in HEALTHY if {"eval_loss", "eval_accuracy"} <= kept(name)["curves"].keys()]
    assert len(looked_at) >= 5 and len(HEALTHY) >= 5 and len(TOLD) >= 8
    assert {path.stem for path in FOLDER.glob("*.json")} == {*HEALTHY, *TOLD}
    assert all(Path(FOLDER / f"{name}.json").stat().st_size < 20_000 for name in (*HEALTHY, *TOLD))
