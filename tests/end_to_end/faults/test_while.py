"""Faults that are reported while a recipe runs: one real run whose stages each go wrong in a different way."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from orchestrator.commands.diagnose import diagnose_run
from orchestrator.errors import StageError
from orchestrator.models.loading import load_base
from orchestrator.models.reference import ModelRef
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.runs.past import past_run
from orchestrator.training.journal import NAME, read
from tests.conftest import SMALL, Called, call
from tests.end_to_end.faults.recipes import tiny_copy

SICK = Path(__file__).parent / "sick.yaml"


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("sick")
    return folder, call(folder, "run", str(SICK), "--json")


STAGES = {
    "still": "learning-rate-zero",
    "wild": "loss-too-high",
    "blind": "groups-alike",
    "alike": "draws-identical",
}


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


def test_draws_of_a_sampling_that_are_all_the_same(sick: tuple[Path, Called]) -> None:
    [found] = [f for f in sick[1].json["findings"] if f["check"] == "draws-identical" and "stage drawn:" in f["what"]]
    assert "all 3 draws" in found["what"]


def test_a_reward_of_zero_says_so(sick: tuple[Path, Called]) -> None:
    [found] = [f for f in sick[1].json["findings"] if f["check"] == "groups-alike"]
    assert found["what"].startswith("stage blind")
    assert "no completion is ever correct" in found["cause"] and "mean reward 0.000" in found["evidence"]


LIMITS = (
    "limits.stop_on=[learning-rate-zero, groups-alike]",
    "limits.ignore=[groups-alike, draws-alike, too-few-questions]",
)


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
    """TRL drops an incomplete batch: with fewer rows than one batch it would save the model unchanged."""
    assert (
        "stage 'idle' failed: no step was taken: the 16 rows do not fill a batch of 256; lower "
        "per_device_train_batch_size, or give it more rows"
    ) in stopped.json["errors"]


def test_what_check_refuses_is_not_run(tmp_path: Path) -> None:
    called = call(tmp_path, "run", str(SMALL), "evaluate.max_tokens=8")
    assert called.code == 3 and "answers-cut-off" in called.err
    assert not (tmp_path / "mlruns" / "mlflow.db").exists() or "Traceback" not in called.err


def trained(work: Path, *overrides: str) -> list[str]:
    """The findings while SFT of the small recipe is trained, in order."""
    from orchestrator.training.sft import SftJob, run_sft

    recipe = load_recipe(
        SMALL, [*overrides, "stages.sft.logging_steps=1000", "stages.sft.per_device_train_batch_size=4"]
    )
    task: Any = recipe.task
    pairs = tuple((e.question, task.target(e)) for e in task.examples("demonstrations")[:24])
    spec: Any = recipe.stages["sft"]
    run_sft(SftJob(work, ModelRef("base", compile_plan(recipe).base), task.format, spec, 0, 1, pairs))
    return [r["finding"]["check"] for r in read(work / NAME) if "finding" in r]


def test_numbers_that_overflow(tmp_path: Path) -> None:
    """A base whose weights exceed the range of half precision: the first step already shows it."""
    base = tiny_copy()
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].half() * 60000.0
    weights["model.norm.weight"] = weights["model.norm.weight"] * 2
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    found = trained(tmp_path, f"model.name={base}", "stages.sft.max_steps=3")
    assert found[0] == "loss-not-finite", found


def test_a_warm_up_that_is_longer_than_the_training(tmp_path: Path) -> None:
    assert trained(tmp_path, "stages.sft.max_steps=4", "stages.sft.warmup_steps=1000") == ["learning-rate-zero"]


def test_a_warm_up_is_no_fault(tmp_path: Path) -> None:
    assert trained(tmp_path, "stages.sft.max_steps=6", "stages.sft.warmup_steps=3") == []


def test_steps_that_are_lost_in_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights kept in bfloat16, with a learning rate meant for float32."""

    def halved(ref: ModelRef, lora: Any) -> Any:
        return load_base(ref.base, torch.bfloat16)

    monkeypatch.setattr("orchestrator.training.sft.load_trainable", halved)
    whole = ("stages.sft.lora=null", "stages.sft.learning_rate=1e-6", "stages.sft.max_steps=5")
    assert trained(tmp_path, *whole) == ["weights-unmoved"]


def test_the_same_learning_rate_moves_weights_in_float32(tmp_path: Path) -> None:
    assert trained(tmp_path, "stages.sft.lora=null", "stages.sft.learning_rate=1e-6", "stages.sft.max_steps=5") == []


def test_a_model_that_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "orchestrator.training.sft.load_trainable", lambda ref, lora: load_base(ref.base).requires_grad_(False)
    )
    with pytest.raises(StageError, match="no weight of the model is trained"):
        trained(tmp_path, "stages.sft.max_steps=3")
