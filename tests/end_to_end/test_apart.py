"""A cluster whose machines share no folder: workers receive their inputs and return their outputs, even if a machine is
lost midway."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.models.base import TINY
from tests.conftest import Called, call, command, environment
from tests.support.machines import machines
from tests.support.store import artifact, children

RECIPE = """\
name: apart
task:
  type: units
  demonstrations: {generate: 60}
  train: {generate: 20}
  test: {generate: 30}
model: {name: start}   # a folder that only the driver's machine has
stages:
  sft:     {type: sft, data: demonstrations, learning_rate: 4e-3, max_steps: 30, per_device_train_batch_size: 4,
            save_steps: 5}
  samples: {type: sample, model: sft, prompts: train, n: 4, temperature: 0.8, max_tokens: 64, batch_size: 8}
  chosen:  {type: select, from: samples}
  rft:     {type: sft, data: [demonstrations, chosen], learning_rate: 4e-3, max_steps: 30, save_steps: 5,
            per_device_train_batch_size: 4}
evaluate: {on: test, models: [sft, rft], max_tokens: 64, batch_size: 10}
"""


def wait_until(there: Callable[[], bool], run: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 300
    while not there():
        assert run.poll() is None and time.monotonic() < end, run.communicate()[1]
        time.sleep(0.02)


def prepared(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copytree(TINY, folder / "start")
    (folder / "r.yaml").write_text(RECIPE)
    return folder


def completions(folder: Path, called: Called) -> list[tuple[object, ...]]:
    samples = children(folder, called.json["run_id"])["samples"]
    rows = pq.read_table(artifact(samples, "completions.parquet")).to_pylist()
    return [(row["example_id"], row["draw"], row["text"], row["status"]) for row in rows]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The same run on one machine, undisturbed."""
    folder = prepared(tmp_path_factory.mktemp("alone") / "here")
    called = call(folder, "run", "r.yaml", "--json")
    assert called.code == 0, called.err
    return folder, called


@pytest.mark.slow
def test_machines_that_share_nothing_and_are_lost_come_to_the_same(tmp_path: Path, alone: tuple[Path, Called]) -> None:
    driver = prepared(tmp_path / "driver")
    work = driver / "mlruns" / "work"
    keys = {stage["name"]: stage["key"] for stage in alone[1].json["stages"]}
    with machines(tmp_path) as cluster:
        first, _ = cluster.start(), cluster.start()
        run = subprocess.Popen(
            command("run", "r.yaml", "--json"),
            cwd=driver,
            env=environment() | cluster.driver,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: any((work / keys["samples"]).glob("shard-*.parquet")), run)
        cluster.kill(first)
        cluster.start()
        wait_until(lambda: any((work / keys["rft"]).glob("checkpoints/*/.digests.json")), run)
        [log] = (work / keys["rft"]).glob("logs/*.log")
        cluster.kill(cluster.that_runs(int(log.stem.rpartition("-")[2])))
        out, err = run.communicate(timeout=600)
    called = Called(run.returncode, out, err)
    assert called.code == 0, called.err
    assert {s["state"] for s in called.json["stages"]} == {"done"}
    assert {s["name"]: s["key"] for s in called.json["stages"]} == keys
    assert completions(driver, called) == completions(*alone)
    figures = [(m["model"], m["accuracy"], m["answer_rate"]) for m in called.json["models"]]
    assert figures == [(m["model"], m["accuracy"], m["answer_rate"]) for m in alone[1].json["models"]]
    ours, theirs = (
        artifact(children(folder, said.json["run_id"])["rft"], "model/adapter_model.safetensors").read_bytes()
        for folder, said in ((driver, called), alone)
    )
    assert ours == theirs
    assert [path.name for path in work.iterdir()] == ["locks"] and not list((work / "locks").iterdir())
