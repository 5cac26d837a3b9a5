"""`orch plan` reports what would not run on this machine, without starting anything."""

import json
from pathlib import Path

import pytest

from orchestrator.commands import plan as module
from orchestrator.commands.plan import plan, will_not_fit
from orchestrator.recipe.recipe import load_recipe
from orchestrator.store import machine
from tests.cli.test_cli import orch
from tests.commands.test_submit import RECIPE

GPU = "stages.sft.resources.gpus: asks for 1, but there are none here: remove it or lower it"


@pytest.fixture(autouse=True)
def _on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.yaml").write_text(RECIPE)
    monkeypatch.setattr(module, "cores_and_gpus", lambda: (2, 0))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=1", []),
        ("stages.sft.resources.gpus=1", [GPU]),
        (
            "stages.sft.resources={workers: 4, cpus: 1}",
            [
                "stages.sft.resources.workers: asks for 4 of 1 CPU each, but there is room for 2 here: remove it "
                "or lower it"
            ],
        ),
        (
            "evaluate.resources.cpus=64",
            [
                "evaluate.resources.cpus: asks for 64, but the largest machine here has 2: remove it or lower it",
            ],
        ),
    ],
)
def test_what_is_too_large_is_told(override: str, said: list[str]) -> None:
    assert will_not_fit(plan(load_recipe("r.yaml", [override]))) == said


def test_of_a_cluster_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert will_not_fit(plan(load_recipe("r.yaml", ["stages.sft.resources.gpus=1"]))) == []


def test_it_stands_below_the_table_and_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert orch("plan", "r.yaml", "stages.sft.resources.gpus=1") == 0
    assert f"! it would not run here: {GPU}" in capsys.readouterr().out
    assert orch("plan", "r.yaml", "stages.sft.resources.gpus=1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["will_not_fit"] == [GPU]


@pytest.mark.parametrize(("visible", "left"), [(None, 2), ("0", 1), ("0,1,2", 2), ("", 0), ("-1", 0)])
def test_the_gpus_of_a_machine_are_those_that_it_may_use(
    visible: str | None, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text("Model: \t NVIDIA H100\n")
    monkeypatch.setattr(machine, "_GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.cores_and_gpus()[1] == left
