"""The shipped recipe whole, as a newcomer runs it: it takes its minutes, and keeps what the README promises."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, call, cores


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_recipe_keeps_its_promises(tmp_path: Path) -> None:
    if (worth := cores()) < 1.2:
        pytest.skip(f"the recipe needs two cores, this machine gives the work of {worth:.1f} at present")
    called = call(tmp_path, "run", str(REPOSITORY / "recipes" / "rft.yaml"), "--json", timeout=1700)
    assert called.code == 0, called.err
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
