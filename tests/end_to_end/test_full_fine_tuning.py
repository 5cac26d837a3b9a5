"""`lora: null` through the real stack: whole models are trained, saved, loaded, trained further, and diagnosed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from orchestrator.models.base import TINY
from orchestrator.models.start import ADAPTER_FILE
from tests.conftest import SMALL, Called, call
from tests.support.store import artifact, children

OVERRIDES = (
    "stages.sft.lora=null",
    "stages.rft.model=sft",
    "stages.rft.max_steps=10",
    "stages.grpo.max_steps=2",
    "stages.grpo.beta=0.04",
    "evaluate.models=[sft, rft, grpo]",
    "stages.grpo.activation_checkpointing=true",
)
Run = tuple[Path, Called]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """SFT of all weights, RFT as an adapter on that, GRPO on the adapter."""
    folder = tmp_path_factory.mktemp("whole")
    called = call(folder, "run", str(SMALL), *OVERRIDES, "--json")
    assert called.code == 0, called.err
    return folder, called


def models(run: Run) -> dict[str, Any]:
    return children(run[0], run[1].json["run_id"])


def test_a_whole_model_is_a_folder_that_anyone_can_load(whole_run: Run) -> None:
    run = models(whole_run)["sft"]
    folder = artifact(run, "model")
    assert {"config.json", "model.safetensors", "tokenizer.json", "answer_format.json", "base.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True, "as in the base"
    assert "adapter_mb" not in run.data.metrics and run.data.metrics["model_mb"] > 6
    assert run.data.params["lora"] == "None"
    trained, base = (AutoModelForCausalLM.from_pretrained(p, dtype=torch.float32) for p in (folder, TINY))
    moved = [not torch.equal(a, b) for a, b in zip(trained.parameters(), base.parameters(), strict=True)]
    assert all(moved), "every weight was trained"
    text = "Convert 12,345.67 km/h  into mi/h?\n<answer>"
    assert AutoTokenizer.from_pretrained(folder)(text) == AutoTokenizer.from_pretrained(TINY)(text)


def test_it_learns_and_is_built_upon(whole_run: Run) -> None:
    found = {m["model"]: m for m in whole_run[1].json["models"]}
    assert found["sft"]["answer_rate"] > 0.8 and found["sft"]["accuracy"] > 0.1
    assert found["rft"]["answer_rate"] > 0.8 and found["grpo"]["answer_rate"] > 0.8
    for name in ("rft", "grpo"):
        folder = artifact(models(whole_run)[name], "model")
        assert [p.name for p in folder.rglob("*.safetensors")] == [ADAPTER_FILE], "no reference adapter beside it"
        base = json.loads((folder / "base.json").read_text())
        assert Path(base["location"]) == artifact(models(whole_run)["sft"], "model").resolve()
        assert any(bool(t.any()) for key, t in load_file(folder / ADAPTER_FILE).items() if ".lora_B." in key)


def test_again_runs_nothing(whole_run: Run) -> None:
    called = call(whole_run[0], "run", str(SMALL), *OVERRIDES, "--json")
    assert called.code == 0 and all(s["cached"] for s in called.json["stages"])


def test_its_models_answer_and_are_sound(whole_run: Run) -> None:
    for model in ("sft", "grpo"):
        asked = call(whole_run[0], "ask", "last", "How many m are 3 km?", "--model", model, "--json")
        assert asked.code == 0, asked.err
        assert asked.json["value"] is not None
    looked = call(whole_run[0], "diagnose", "--json")
    found = [f for f in looked.json["findings"] if f["severity"] == "error"]
    assert not [f for f in found if f["check"].startswith(("adapter", "model", "base", "merged", "not-the"))], found


@pytest.mark.slow
def test_a_whole_model_may_be_where_another_recipe_starts(whole_run: Run, tmp_path: Path) -> None:
    folder = artifact(models(whole_run)["sft"], "model")
    stages = "stages={sft: {type: sft, max_steps: 2, lora: null}}"
    called = call(tmp_path, "run", str(SMALL), f"model.name={folder}", stages, "evaluate.models=[base, sft]", "--json")
    assert called.code == 0, called.err
    begun = {m["model"]: m for m in whole_run[1].json["models"]}["sft"]
    assert {m["model"]: m for m in called.json["models"]}["base"]["accuracy"] == begun["accuracy"]


def test_a_whole_model_that_is_gone_is_named(whole_run: Run) -> None:
    file = artifact(models(whole_run)["sft"], "model") / "model.safetensors"
    file.rename(file.with_suffix(".away"))
    try:
        looked = call(whole_run[0], "diagnose", "--json")
    finally:
        file.with_suffix(".away").rename(file)
    assert looked.code == 3
    assert "model-missing" in [f["check"] for f in looked.json["findings"]]
