"""The curves of a past training: the findings depend on whether it finished, and on the model it started from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.answers.formats import TagsFormat
from orchestrator.models.start import FORMAT_FILE, resolve_start
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.past import PastRun, PastStage
from orchestrator.runs.past_curves import findings_of, stage_curves
from orchestrator.store.base import StoredRun
from orchestrator.store.memory import MemoryStore
from tests.conftest import SMALL
from tests.health.test_real_curves import kept

Points = list[tuple[int, float]]


def past(status: str, curves: Mapping[str, Points], *overrides: str) -> list[str]:
    """The names of the findings for a run's only training."""
    recipe = load_recipe(SMALL, overrides)
    start = resolve_start(recipe.model)
    if Path(FORMAT_FILE).exists():
        start = replace(start, base=replace(start.base, location=str(Path.cwd())))
    store, stored = MemoryStore(Path("store")), StoredRun("1", "sft", "small", status, "0", 0.0, None, "")
    stage = PastStage("sft", "sft", "1", status, None, store, "1", None, curves, None, (), {}, stored)
    run = PastRun("0", "small", status, None, recipe, start, {"sft": stage})
    return [finding.check for finding in findings_of(run, stage, stage_curves(run, stage))]


def points(name: str, upto: int = 10**9) -> dict[str, Any]:
    return {c: [(s, v) for s, v in curve if s <= upto] for c, curve in kept(name)["curves"].items()}


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "RUNNING"])
def test_a_training_that_was_cut_off_is_not_called_too_short(status: str) -> None:
    curves = points("too_short")
    assert past("FINISHED", curves, "stages.sft.max_steps=60") == ["too-short"]
    assert past(status, curves, "stages.sft.max_steps=600") == []


@pytest.mark.parametrize("status", ["FAILED", "FINISHED"])
def test_what_has_happened_is_told_of_both(status: str) -> None:
    assert past(status, points("left_the_minimum"), "stages.sft.max_steps=1000") == ["training-unstable"]


HIGH: Points = [(step, 9.0) for step in range(5, 45, 5)]


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (["stages.sft.max_steps=40"], True),
        (["stages.sft.max_steps=400"], False),
        (["stages.sft.max_steps=null", "stages.sft.num_train_epochs=2"], True),
        (["stages.sft.max_steps=null"], False),  # three epochs
    ],
)
def test_the_watch_knows_how_long_it_was_to_be(length: list[str], told: bool) -> None:
    curves = {"loss": HIGH, "epoch": [(step, step / 20) for step, _ in HIGH]}
    assert ("loss-too-high" in past("FAILED", curves, *length)) is told


def test_without_epochs_nothing_is_said_of_a_length_that_is_not_known() -> None:
    assert past("FAILED", {"loss": [(5, 0.0)]}, "stages.sft.max_steps=null") == []


def test_a_model_that_orch_made_begins_with_a_low_loss() -> None:
    low: Mapping[str, Points] = {"loss": [(5, 0.05), (10, 0.05), (40, 0.04)]}
    assert past("FINISHED", low) == ["loss-too-low"]
    Path(FORMAT_FILE).write_text(TagsFormat().model_dump_json())
    assert past("FINISHED", low) == []
