"""The shipped recipe in full, as a newcomer runs it: it takes minutes, and keeps what the README promises."""

from pathlib import Path

import pytest

from tests.conftest import Called, call


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
