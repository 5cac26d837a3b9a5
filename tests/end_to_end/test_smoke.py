"""The smoke recipe in full, as a newcomer runs it. Apart from the shipped one, so that neither waits for the other."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, call


@pytest.mark.slow
def test_the_smoke_recipe_works_and_says_what_it_is_worth(tmp_path: Path) -> None:
    """Every stage of GSM8K on a small scale. The accuracy is about 0, which is not a fault of the setup.

    SFT has smaller batches here, and RFT takes fewer steps: what they learn is not checked.
    """
    shutil.copytree(REPOSITORY / "recipes", tmp_path / "recipes")
    less = ("stages.sft.per_device_train_batch_size=4", "stages.rft.max_steps=120")
    called = call(tmp_path, "run", "recipes/gsm8k_smoke.yaml", *less, "--json")
    assert called.code == 0, called.err
    models = {m["model"]: m for m in called.json["models"]}
    assert list(models) == ["base", "sft", "rft", "grpo"] and models["sft"]["answer_rate"] > 0.3
    assert all(m["accuracy"] <= 0.2 for m in models.values())
    assert "about 0" in (REPOSITORY / "recipes" / "gsm8k_smoke.yaml").read_text()
    looked = call(tmp_path, "diagnose", "--json")
    assert looked.code == 0, [f for f in looked.json["findings"] if f["severity"] == "error"]
