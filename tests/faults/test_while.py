"""Faults that are named while a recipe runs: one real run whose stages go wrong, each in a way of its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from orchestrator.diagnosing import diagnose_run
from orchestrator.journal import NAME, read
from orchestrator.model_ref import ModelRef
from orchestrator.past_run import past_run
from orchestrator.plan import compile_plan
from orchestrator.recipe import load_recipe
from tests.conftest import SMALL, Called, call
from tests.faults.recipes import tiny_copy

SICK = Path(__file__).parent / "sick.yaml"


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("sick")
    return folder, call(folder, "run", str(SICK), "--json")


STAGES = {"still": "learning-rate-zero", "wild": "loss-too-high", "blind": "groups-alike"}


@pytest.mark.parametrize(("stage", "named"), STAGES.items())
def test_it_is_said_at_once_and_named_first_afterwards(
    sick: tuple[Path, Called], stage: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, called = sick
    assert called.code == 0, called.err
    said = [f for f in called.json["findings"] if f["what"].startswith(f"stage {stage}:")]
    assert named in [f["check"] for f in said]
    assert f"! {named}: stage {stage}" in called.err or f"✗ {named}: stage {stage}" in called.err
    monkeypatch.chdir(folder)
    diagnosis = diagnose_run(past_run()[0], [stage], questions=24)
    assert diagnosis.findings[0].check == named, [f.check for f in diagnosis.findings]


def test_a_reward_of_zero_says_so(sick: tuple[Path, Called]) -> None:
    [found] = [f for f in sick[1].json["findings"] if f["check"] == "groups-alike"]
    assert "no completion is ever correct" in found["cause"] and "mean reward 0.000" in found["evidence"]


LIMITS = ("limits.stop_on=[learning-rate-zero, groups-alike]", "limits.ignore=groups-alike")


IDLE = "stages.idle={type: grpo, model: base, prompts: train, max_steps: 2, per_device_train_batch_size: 256}"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Called:
    folder = tmp_path_factory.mktemp("stopped")
    called = call(folder, "run", str(SICK), *LIMITS, IDLE, "evaluate.models=[still]", "--json")
    assert called.code == 1, called.err
    return called


def test_a_recipe_may_have_it_stopped(stopped: Called) -> None:
    states = {s["name"]: s["state"] for s in stopped.json["stages"]}
    assert states["still"] == "failed" and states["blind"] == "done"
    assert "stopped by limits.stop_on: learning-rate-zero" in stopped.err
    [ignored] = [f for f in stopped.json["findings"] if f["check"] == "groups-alike"]
    assert ignored["severity"] == "info" and ignored["what"].endswith("(ignored by limits.ignore)")


def test_a_training_that_takes_no_step_is_an_error(stopped: Called) -> None:
    """TRL drops a batch that is not full: with fewer questions than one holds it would save the model as it was."""
    assert (
        "stage 'idle' failed: no step was taken: the 16 rows fill no batch of 256; lower per_device_train_batch_size, "
        "or give it more rows"
    ) in stopped.json["errors"]


def test_what_check_refuses_is_not_run(tmp_path: Path) -> None:
    called = call(tmp_path, "run", str(SMALL), "evaluate.max_tokens=8")
    assert called.code == 3 and "answers-cut-off" in called.err
    assert not (tmp_path / "mlruns" / "mlflow.db").exists() or "Traceback" not in called.err


def test_numbers_that_overflow(tmp_path: Path) -> None:
    """A base whose weights have left the range of half precision: the first step already says so."""
    from orchestrator.training.sft import SftJob, run_sft

    base = tiny_copy()
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].half() * 60000.0
    weights["model.norm.weight"] = weights["model.norm.weight"] * 2
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    recipe = load_recipe(SMALL, [f"model.name={base}", "stages.sft.max_steps=3", "stages.sft.logging_steps=1"])
    task: Any = recipe.task
    pairs = tuple((e.question, task.target(e)) for e in task.examples("demonstrations"))
    spec: Any = recipe.stages["sft"]
    run_sft(SftJob(tmp_path, ModelRef("base", compile_plan(recipe).base), task.format, spec, 0, 2, pairs))
    found = [r["finding"]["check"] for r in read(tmp_path / NAME) if "finding" in r]
    assert found[0] == "loss-not-finite", json.dumps(found)
