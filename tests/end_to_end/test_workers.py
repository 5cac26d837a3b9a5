"""Two workers in one training, under Ray Train: the result of one worker, even if one of them is killed."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SMALL, TWO_CORES, Called, call
from tests.end_to_end.test_disturbed import family, start, wait_for
from tests.support.store import children, client

Run = tuple[Path, Called]


def only_sft(folder: Path, **changes: Any) -> str:
    """The small recipe with only its first stage, on two workers."""
    recipe = yaml.safe_load(SMALL.read_text())
    recipe["stages"] = {"sft": recipe["stages"]["sft"] | {"resources": {"workers": 2, "cpus": 1}} | changes}
    recipe["evaluate"]["on"] = recipe["evaluate"].pop(True)  # YAML 1.1 reads the key `on` as True
    (folder / "only.yaml").write_text(yaml.safe_dump(recipe))
    return "only.yaml"


def losses(folder: Path, run_id: str) -> dict[int, tuple[float, int]]:
    """The loss of SFT at each step, and when it was written, in milliseconds."""
    sft = children(folder, run_id)["sft"]
    return {p.step: (p.value, p.timestamp) for p in client(folder).get_metric_history(sft.info.run_id, "loss")}


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, small_run: Run) -> None:
    """It resumes from the last checkpoint, to the losses and answers of one undisturbed worker."""
    recipe = only_sft(tmp_path)
    process = start(tmp_path, "run", recipe, "--json", **TWO_CORES)
    saved = tmp_path / "mlruns" / "work"
    wait_for(lambda: any(saved.glob("*/checkpoints/checkpoint-20/.digests.json")), process)
    workers = [worker for worker in family(process) if "RayTrainWorker" in " ".join(worker.cmdline())]
    assert len(workers) == 2
    killed = time.time()
    workers[1].kill()
    assert process.wait(timeout=900) == 0, (tmp_path / "stderr").read_text()
    called = call(tmp_path, "run", recipe, "--json")
    ours, theirs = losses(tmp_path, called.json["run_id"]), losses(small_run[0], small_run[1].json["run_id"])
    assert list(ours) == list(theirs)
    for step, (loss, written) in ours.items():
        assert loss == pytest.approx(theirs[step][0], rel=1e-3)
        assert (written / 1000 < killed) == (step <= 20) or step == 25, "it did not start over"
    mine, other = ({m["model"]: m for m in c.json["models"]}["sft"] for c in (called, small_run[1]))
    assert abs(mine["accuracy"] - other["accuracy"]) <= 1 / 60
    keys = [{s["name"]: s["key"] for s in c.json["stages"]}["sft"] for c in (called, small_run[1])]
    assert keys[0] == keys[1], "the number of workers is not in the key"
    metrics = [children(folder, c.json["run_id"])["sft"].data.metrics for folder, c in ((tmp_path, called), small_run)]
    assert metrics[0]["peak_memory_mb"] > 1.5 * metrics[1]["peak_memory_mb"], "memory of both workers"
    log = call(tmp_path, "logs", "last", "sft").out
    assert log.count("worker 1 of 2: started") == 2 and log.count("worker 2 of 2: started") == 2


def test_an_error_of_the_training_is_said_once_and_as_it_is(tmp_path: Path) -> None:
    recipe = only_sft(tmp_path, learning_rate=1e-12)
    called = call(tmp_path, "run", recipe, "limits={stop_on: [learning-rate-zero]}", "--json", **TWO_CORES)
    assert called.code == 1, called.err
    [error] = called.json["errors"]
    assert error.startswith("stage 'sft' failed: stopped by limits.stop_on: learning-rate-zero: ")
    work = tmp_path / "mlruns" / "work"
    assert not list(work.rglob("failed.pickle"))


def test_more_workers_than_fit_are_refused_before_anything_runs(tmp_path: Path) -> None:
    called = call(tmp_path, "run", only_sft(tmp_path), "stages.sft.resources.workers=4", **TWO_CORES)
    assert called.code == 2
    said = "stages.sft.resources.workers: asks for 4 of 1 CPU each, but there is room for 2 here: remove it"
    assert said in called.err
