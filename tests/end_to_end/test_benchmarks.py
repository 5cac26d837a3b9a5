"""The baseline of `make bench` does the same work as the recipe, and the million is measured as described."""

import contextlib
import json
import runpy
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.claims import asked_at_once
from benchmarks.many_trials import finish_all, planned, walked
from benchmarks.simulated import CountingStore, busy, cluster
from benchmarks.sweeps import Watch, swept
from tests.conftest import REPOSITORY, SMALL, Called
from tests.support.forking import done

SHORT = ("stages.rft.max_steps=2", "stages.grpo.max_steps=1")


def plain(folder: Path) -> None:
    """The plain script on the small recipe; its output goes to `folder`/said."""
    tempfile.tempdir = str(folder)
    sys.argv = ["plain.py", str(SMALL), *SHORT]
    with (folder / "said").open("w") as out, contextlib.redirect_stdout(out):
        runpy.run_path(str(REPOSITORY / "benchmarks" / "plain.py"), run_name="__main__")


def test_the_plain_script_makes_the_same_models(small_run: tuple[Path, Called], tmp_path: Path) -> None:
    code = done(plain, tmp_path)
    said = (tmp_path / "said").read_text()
    assert code == 0, said
    accuracies = {line.split()[0]: float(line.split()[2]) for line in said.splitlines() if " accuracy " in line}
    assert list(accuracies) == ["base", "sft", "rft", "grpo"]
    run = {m["model"]: m["accuracy"] for m in small_run[1].json["models"]}
    for model in ("base", "sft"):  # its draws differ, and so do RFT's rows
        assert abs(accuracies[model] - run[model]) < 0.05, model


def test_many_trials_are_planned_with_few_requests(tmp_path: Path) -> None:
    plan, _ = planned(20, tmp_path)
    assert len(plan.stages) == 8 + 2 * 20 and sum(len(trial.plan.stages) for trial in plan.trials) == 200
    store = CountingStore(tmp_path / "store")
    assert store.finished(plan.stages) == {}
    finish_all(store, plan, tmp_path / "made")
    store.requests.clear()
    assert set(store.finished(plan.stages)) == {stage.key for stage in plan.stages}
    assert 0 < store.requests.total() <= 3 * len(plan.stages)


def test_trials_are_walked_on_simulated_gpus(tmp_path: Path) -> None:
    found = walked(6, 2, 0.05, CountingStore(tmp_path / "store", 0.001), tmp_path)
    # sft, samples, rft and the evaluations of base, sft and rft once; GRPO and its evaluation for every trial
    assert len(found.waits) == 6 + 2 * 6
    assert min(found.waits) >= 0 and found.seconds > found.calls * 0.05 / 2


def test_a_sweep_on_simulated_gpus_is_measured(tmp_path: Path) -> None:
    machines, watch = cluster(2, 0.05), Watch()
    found = swept(6, 4, machines, CountingStore(tmp_path / "store"), tmp_path, watch)
    # SFT and its draws once, RFT and its evaluation for every trial; the test of the winner and of the own values
    assert found.stages["distinct"] <= len(machines.machine.spans) + 1, "all except the selection run on GPUs"
    assert len(watch.ends) == 6 and 0 < busy(machines.machine.spans, 2) <= 1


def claim(folder: Path, kill: bool) -> None:
    """Six processes that ask for the same stage; the outcome goes to `folder`/told."""
    found = asked_at_once(folder, 6, 1.0, kill)
    told = {"begun": len(found.begun), "got": found.origins, "idle": found.idle if kill else 0.0}
    (folder / "told").write_text(json.dumps(told))


@pytest.mark.parametrize("kill", [False, True], ids=["left alone", "its owner killed"])
def test_what_many_ask_for_at_once_is_made_once(tmp_path: Path, kill: bool) -> None:
    assert done(claim, tmp_path, kill) == 0
    told = json.loads((tmp_path / "told").read_text())
    assert told["begun"] == 2 + kill, "the stage of an owner that died starts once more"
    assert len(told["got"]) == 6 - kill and all(one == told["got"][0] for one in told["got"])
    assert set(told["got"][0]) == {"sft", "evaluate.sft"} and told["idle"] < 30


def million(folder: Path) -> None:
    """The benchmark of many completions, with only a few of them; its output goes to `folder`/said."""
    sys.argv = ["million.py", "--rows", "2000"]
    with (folder / "said").open("w") as out, contextlib.redirect_stdout(out):
        runpy.run_path(str(REPOSITORY / "benchmarks" / "million.py"), run_name="__main__")


def test_the_million_counts_selects_and_builds_what_it_says(tmp_path: Path) -> None:
    code = done(million, tmp_path)
    said = (tmp_path / "said").read_text()
    assert code == 0, said
    lines = {line[:16].strip(): line[16:].split() for line in said.splitlines()[1:]}
    assert said.startswith("2,000 completions written")
    assert lines["counting"][4:] == ["40%", "of", "2,000", "draws", "correct"]
    rows = lines["select"][4]
    assert lines["select"][5:] == ["rows", "of", "40", "questions"] and 400 < int(rows) <= 40 * 13
    assert lines["training rows"][4:] == [rows, "rows"]
    assert float(lines["driver grew by"][0]) < 100 and 50 < float(lines["largest process"][0]) < 1500
