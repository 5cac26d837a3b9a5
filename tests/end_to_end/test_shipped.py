"""The shipped recipes whole, as a newcomer runs them: they take their minutes, and keep what the README promises."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Called, call


@pytest.mark.slow
def test_the_shipped_recipe_keeps_its_promises(shipped_run: tuple[Path, Called]) -> None:
    folder, called = shipped_run
    models = {m["model"]: m for m in called.json["models"]}
    assert list(models) == ["base", "sft", "rft", "grpo"]
    assert all(m["n"] >= 500 for m in models.values())
    assert models["base"]["accuracy"] <= 0.02
    assert 0.40 <= models["sft"]["accuracy"] <= 0.70
    assert models["sft"]["answer_rate"] >= 0.90
    assert models["rft"]["accuracy"] - models["sft"]["accuracy"] >= 0.08
    against = {d["model"]: d for d in called.json["differences"]}
    assert against["rft"]["baseline"] == "sft" and against["rft"]["p"] < 0.01
    assert models["grpo"]["accuracy"] - models["rft"]["accuracy"] >= 0.02
    looked = call(folder, "diagnose", "--json")
    assert looked.code == 0, [f for f in looked.json["findings"] if f["severity"] == "error"]


@pytest.mark.slow
def test_the_smoke_recipe_works_and_says_what_it_is_worth(tmp_path: Path) -> None:
    """Every stage of GSM8K in small. Its accuracy is about 0, and it is no error of the set-up."""
    shutil.copytree(REPOSITORY / "recipes", tmp_path / "recipes")
    called = call(tmp_path, "run", "recipes/gsm8k_smoke.yaml", "--json")
    assert called.code == 0, called.err
    models = {m["model"]: m for m in called.json["models"]}
    assert list(models) == ["base", "sft", "rft", "grpo"] and models["sft"]["answer_rate"] > 0.3
    assert all(m["accuracy"] <= 0.2 for m in models.values())
    assert "about 0" in (REPOSITORY / "recipes" / "gsm8k_smoke.yaml").read_text()
    looked = call(tmp_path, "diagnose", "--json")
    assert looked.code == 0, [f for f in looked.json["findings"] if f["severity"] == "error"]
