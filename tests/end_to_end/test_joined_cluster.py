"""Joining a cluster: its workers start in another folder, and models reach them through `storage`."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Called, command, environment
from tests.support.machines import free_port
from tests.support.store import children, client

RECIPE = """\
name: joined
storage: {storage}
task:
  type: units
  demonstrations: {{generate: 16}}
  train: {{file: mine.jsonl, rows: ':4'}}
  test: {{file: mine.jsonl, rows: '4:'}}
model: {{name: tiny}}
stages:
  sft:     {{type: sft, data: demonstrations, learning_rate: 4e-3, max_steps: 4, per_device_train_batch_size: 4}}
  samples: {{type: sample, model: sft, prompts: train, n: 2, temperature: 0.8, max_tokens: 96, batch_size: 2}}
evaluate: {{models: [sft], on: test, max_tokens: 96, batch_size: 2}}
"""
ROWS = "".join(f'{{"question": "Convert {n} km to m.", "answer": {n * 1000}}}\n' for n in range(3, 13))


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """A cluster of one machine with a GPU that only Ray believes in, and the environment in which a driver joins it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # Ray's sockets need a short path
        size = ["--num-cpus=2", "--num-gpus=1", "--object-store-memory=200000000", f"--temp-dir={folder}"]
        quiet = ["--include-dashboard=false", "--disable-usage-stats"]
        head = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ray.scripts.scripts",
                "start",
                "--head",
                "--block",
                f"--port={port}",
                *size,
                *quiet,
            ],
            cwd=folder,
            env=environment() | {"RAY_AUTH_MODE": "disabled", "OMP_WAIT_POLICY": "PASSIVE"},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        address = f"127.0.0.1:{port}"
        try:
            assert head.stdout is not None
            said = iter(head.stdout.readline, "")
            assert any("Ray runtime started" in line for line in said), "Ray did not start"
            yield {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
        finally:
            for process in [*psutil.Process(head.pid).children(recursive=True), head]:
                process.kill()
            head.communicate()


@pytest.mark.slow
def test_workers_are_sent_what_they_cannot_read(tmp_path: Path, cluster: dict[str, str]) -> None:
    driver, storage = tmp_path / "driver", tmp_path / "storage"
    driver.mkdir()
    (driver / "mine.jsonl").write_text(ROWS)
    (driver / "r.yaml").write_text(RECIPE.format(storage=storage))
    run = subprocess.Popen(
        command("run", "r.yaml", "--json"),
        cwd=driver,
        env=environment() | cluster,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shared: set[Path] = set()
    while run.poll() is None:
        shared |= set(storage.glob("inputs/*/adapter_model.safetensors"))
        time.sleep(0.05)
    out, err = run.communicate()
    called = Called(run.returncode, out, err)
    assert called.code == 0, called.err
    assert {s["state"] for s in called.json["stages"]} == {"done"}
    assert called.json["models"][0]["n"] == 6
    found = children(driver, called.json["run_id"])
    assert {path.parent.name for path in shared} == {found["sft"].info.run_id}
    assert client(driver).get_run(called.json["run_id"]).info.status == "FINISHED"
    assert [p.name for p in storage.iterdir()] == ["locks"], "the work and the shared files are removed"
