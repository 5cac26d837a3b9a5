"""Rerunning a past run: its recipe, including its overrides."""

from pathlib import Path

import pytest

from orchestrator.commands.rerun import recipe_of
from orchestrator.errors import InputError, TrackingError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import PARENT_TAG, VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import using
from tests.conftest import SMALL, Called, call


def test_a_finished_run_is_run_again_by_its_id_or_its_experiment(small_run: tuple[Path, Called]) -> None:
    folder, called = small_run
    again = call(folder, "rerun", called.json["run_id"][:8], "--json")
    assert again.code == 0, again.err
    assert again.json["run_id"] == called.json["run_id"] and all(stage["cached"] for stage in again.json["stages"])


def test_the_recipe_is_the_one_it_had(small_copy: Path, small_run: tuple[Path, Called]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(small_copy)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        recipe = recipe_of("small")
    assert recipe.source == str(SMALL)
    assert compile_plan(recipe).key == compile_plan(load_recipe(SMALL)).key


def test_what_kept_no_recipe_cannot_be_run_again(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    parent = store.start(store.experiment("x"), "x", {VERB_TAG: WHOLE_RUN}, {})
    child = store.start(store.experiment("x"), "sft", {VERB_TAG: "sft", PARENT_TAG: parent}, {})
    with using(store):
        with pytest.raises(InputError, match=rf"run {parent} was not created by `orch run`"):
            recipe_of(child)
        with pytest.raises(TrackingError, match="no run 'zzz'"):
            recipe_of("zzz")
