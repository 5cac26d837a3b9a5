"""The winner's recipe: the same file with other values."""

import re
from pathlib import Path

from orchestrator.recipe.recipe import load_recipe
from orchestrator.sweeps.best_file import with_values
from tests.conftest import REPOSITORY


def test_comments_order_and_spelling_stay(tmp_path: Path) -> None:
    text = (REPOSITORY / "tests" / "sweep.yaml").read_text()
    made = with_values(text, {"stages.tuned.learning_rate": 1e-3, "stages.warm.lora.r": 8}, "Trial 1")
    assert made.startswith("# Trial 1\n# A sweep as small as it can be")
    assert re.search(r"learning_rate: 0.001 +# the value that the sweep changes", made) and "sweep:" not in made
    assert "learning_rate: 4e-3, max_steps: 24" in made, "unchanged values are spelled as they were"
    file = tmp_path / "best.yaml"
    file.write_text(made)
    assert load_recipe(file).sweep is None
    expected = load_recipe(REPOSITORY / "tests" / "sweep.yaml").varied(
        {"stages.tuned.learning_rate": 1e-3, "stages.warm.lora.r": 8}
    )
    assert load_recipe(file).resolved() == expected.resolved()


def test_an_alias_is_changed_in_the_place_that_is_named_alone(tmp_path: Path) -> None:
    text = (REPOSITORY / "recipes" / "gsm8k_sweep.yaml").read_text()
    file = tmp_path / "best.yaml"
    values = {"stages.rft.lora.r": 4, "stages.rft.lora.lora_alpha": 8}
    file.write_text(with_values(text, values, "Trial 2"))
    assert (
        load_recipe(file).resolved()
        == load_recipe(REPOSITORY / "recipes" / "gsm8k_sweep.yaml").varied(values).resolved()
    )


def test_what_stands_in_a_comment_can_be_read() -> None:
    assert with_values("a: 1\n", {"a": 2}, "Trial 0: \x1b[31m\nx").splitlines()[:2] == ["# Trial 0: \\x1b[31m", "# x"]


def test_every_shipped_recipe_survives(tmp_path: Path) -> None:
    for recipe in sorted((REPOSITORY / "recipes").glob("*.yaml")):
        old, new = tmp_path / recipe.name, tmp_path / f"best-{recipe.name}"
        old.write_text(recipe.read_text())
        new.write_text(with_values(recipe.read_text(), {"seed": 7}, "Trial 0"))
        before, after = load_recipe(old, ["seed=7"]), load_recipe(new)
        assert before.resolved() == after.resolved()
        comments = [line for line in recipe.read_text().splitlines() if line.startswith("#")]
        assert all(line in new.read_text() for line in comments)
