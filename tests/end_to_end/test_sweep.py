"""Sweeps for real: shared stages once, an honest winner, a kill that loses nothing, two sweeps side by side."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.recipe.recipe import load_recipe
from tests.conftest import REPOSITORY, Called, call, command, environment
from tests.support.store import artifact, runs

SWEEP = REPOSITORY / "tests" / "sweep.yaml"
RATE = "stages.tuned.learning_rate"


def trials_of(folder: Path, sweep: str) -> list[Any]:
    return runs(folder, f"tags.`mlflow.parentRunId` = '{sweep}' AND tags.`orch.verb` = 'swept'")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a finished sweep, and the outcome of the call."""
    folder = tmp_path_factory.mktemp("swept")
    called = call(folder, "sweep", str(SWEEP), "--json")
    assert called.code == 0, called.err
    return folder, called


def test_each_stage_that_trials_share_is_run_once(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    found = called.json
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert [trial["label"] for trial in found["trials"]] == [{RATE: rate} for rate in (2e-3, 1e-3, 0.5)]
    assert {trial["state"] for trial in found["trials"]} == {"complete"}
    made = [run for run in runs(folder) if run.data.tags.get("orch.stage") == "warm" and "loss" in run.data.metrics]
    assert len(made) == 1, "one training of `warm` for all trials"
    assert found["shared"]["warm"] == {"trials": 3, "made": 1}
    # 3 trials: warm, tuned, evaluation; then one or two evaluations on the test. `warm` runs once
    assert found["stages"]["asked"] == 3 * 3 + found["stages"]["distinct"] - 7
    assert found["stages"]["run"] == found["stages"]["distinct"] <= 9 and found["stages"]["reused"] == 0


def test_the_winner_is_chosen_on_validation_and_tested_once(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    found = called.json
    assert found["metric"] == {"name": "tuned/accuracy", "goal": "maximize", "on": "validation"}
    by_number = {trial["number"]: trial for trial in found["trials"]}
    best = max(trial["value"] for trial in found["trials"])
    assert by_number[found["best"]["number"]]["tied"]
    assert not by_number[2]["tied"] and by_number[2]["value"] < best, "a learning rate of 0.5 learns nothing"
    assert by_number[2]["p"] < 0.05
    for trial in found["trials"]:
        assert trial["low"] <= trial["value"] <= trial["high"] and trial["seconds"] > 0
    assert found["test"]["on"] == "test" and len(found["test"]["models"]) == 2
    asked = [run.data.tags for run in runs(folder) if "orch.eval_key" in run.data.tags and "loss" in run.data.metrics]
    assert len(asked) >= 3
    [said, *_] = found["conclusions"]
    assert "than the recipe's own values" in said


def test_the_winners_recipe_runs_and_keeps_its_comments(swept: tuple[Path, Called]) -> None:
    _, called = swept
    file = Path(called.json["best"]["recipe"])
    assert "# what the trials share" in file.read_text() and "sweep:" not in file.read_text()
    changed = load_recipe(SWEEP).varied(called.json["best"]["label"])
    assert load_recipe(file).resolved() == changed.resolved()


def test_commands_on_a_sweep_take_the_trial_that_it_proposes(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    sweep = called.json["run_id"]
    exported = call(folder, "export", sweep, str(folder / "exported"))
    assert exported.code == 0 and "using the trial that it proposes" in exported.out, exported.err
    assert (folder / "exported" / "adapter_config.json").is_file()
    compared = call(folder, "compare", sweep)
    assert compared.code == 2 and "is a sweep: `orch compare --sweep" in compared.err
    shown = call(folder, "compare", "--sweep", "--json")
    assert shown.code == 0 and shown.json["run_id"] == sweep and shown.json["trials"] == called.json["trials"]


def test_the_page_of_a_sweep_is_one_file_without_links_to_this_disk(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    page = Path(called.json["report"]).read_text()
    assert "All settings at once" in page and "proposed" in page and str(folder) not in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_mlflow_shows_a_sweep_with_its_trials_and_what_tells_them_apart(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    below = trials_of(folder, called.json["run_id"])
    values = {trial["run_id"]: trial for trial in called.json["trials"]}
    compared = [run for run in below if run.info.run_id in values]
    assert len(compared) == 3
    for run in compared:
        trial = values[run.info.run_id]
        assert run.data.params == {RATE: str(trial["label"][RATE])}
        assert run.data.metrics == {"tuned/accuracy": trial["value"]}
        assert run.info.status == "FINISHED"
    [above] = runs(folder, "tags.`orch.verb` = 'sweep'")
    assert above.info.status == "FINISHED" and above.data.metrics["trials"] == 3
    assert "| trial |" in above.data.tags["mlflow.note.content"]
    kept = json.loads(artifact(above, "sweep.json").read_text())
    assert kept["trials"] == called.json["trials"]


def test_the_same_command_again_runs_nothing(swept: tuple[Path, Called]) -> None:
    folder, called = swept
    before = len(runs(folder))
    again = call(folder, "sweep", str(SWEEP), "--json")
    assert again.code == 0 and again.json == called.json and len(runs(folder)) == before


def test_a_further_value_runs_one_trial_more(swept: tuple[Path, Called]) -> None:
    folder, _ = swept
    more = call(folder, "sweep", str(SWEEP), f"{RATE}=1e-3,2e-3,4e-3", "--json")
    assert more.code == 0, more.err
    assert len(more.json["trials"]) == 3
    again = {trial["label"][RATE]: trial for trial in more.json["trials"]}
    assert again[4e-3]["state"] == "complete"
    assert more.json["stages"]["run"] <= 4, "a training and its evaluation; the winner's test, if it is another"


def test_a_bad_sweep_ends_with_2_and_writes_nothing(tmp_path: Path) -> None:
    found = call(tmp_path, "sweep", str(SWEEP), "stages.tuned.learning_rat=1e-3,2e-3")
    assert found.code == 2 and "did you mean 'learning_rate'" in found.err and found.err.count("\n") == 1
    without = tmp_path / "plain.yaml"
    without.write_text(SWEEP.read_text().partition("sweep:\n")[0])
    found = call(tmp_path, "sweep", str(without))
    assert found.code == 2 and "has no sweep block" in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["plain.yaml"]


@pytest.mark.slow
def test_killed_and_run_again_it_comes_to_the_same(swept: tuple[Path, Called], tmp_path: Path) -> None:
    _, called = swept
    begun = subprocess.Popen(
        command("sweep", str(SWEEP)),
        cwd=tmp_path,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(20)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    resumed = call(tmp_path, "sweep", str(SWEEP), "--json")
    assert resumed.code == 0, resumed.err
    told = [(trial["label"], trial["value"], trial["state"]) for trial in resumed.json["trials"]]
    assert told == [(trial["label"], trial["value"], trial["state"]) for trial in called.json["trials"]]
    finished = [run for run in runs(tmp_path, "tags.`orch.verb` = 'sweep'") if run.info.status == "FINISHED"]
    assert len(finished) == 1
    trainings = [r for r in runs(tmp_path) if r.data.tags.get("orch.stage") == "tuned" and r.info.status == "FINISHED"]
    made = [r.data.tags["orch.key"] for r in trainings if "orch.cached_from" not in r.data.tags]
    assert len(made) == len(set(made)), "nothing was trained twice"


@pytest.mark.slow
def test_two_sweeps_at_once_run_each_stage_once(tmp_path: Path) -> None:
    begun = [
        subprocess.Popen(
            command("sweep", str(SWEEP), "--json"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [process.communicate() for process in begun]
    assert [process.returncode for process in begun] == [0, 0], [err for _, err in ended]
    found = [json.loads(out.strip().splitlines()[-1]) for out, _ in ended]
    assert [t["value"] for t in found[0]["trials"]] == [t["value"] for t in found[1]["trials"]]
    ran = [one["stages"]["run"] for one in found]
    assert sum(ran) == found[0]["stages"]["distinct"], "each stage was run by one of the two"


@pytest.mark.slow
def test_pairs_end_what_learns_nothing(tmp_path: Path) -> None:
    """`asha` uses Optuna, and is tested in tests/sweeps/test_pruning.py."""
    early = "sweep.early_terminate={type: paired, p: 0.1}"
    found = call(tmp_path, "sweep", str(SWEEP), early, "sweep.max_concurrent=1", "--json")
    assert found.code == 0, found.err
    states = {trial["label"][RATE]: trial["state"] for trial in found.json["trials"]}
    assert states[0.5] == "pruned" and states[2e-3] == "complete"
    [pruned] = [t for t in found.json["trials"] if t["label"][RATE] == 0.5]
    assert "accuracy 0.000" in pruned["error"] and pruned["value"] is None
    [run] = [r for r in trials_of(tmp_path, found.json["run_id"]) if r.info.run_id == pruned["run_id"]]
    assert run.info.status == "KILLED" and "orch.pruned" in run.data.tags
