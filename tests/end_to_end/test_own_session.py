"""A Ray session started by the user's own program: it is used, and it stays alive whatever happens."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import TWO_CORES, environment

PROGRAM = """
import json, time
import ray
from orchestrator import load_recipe, run
from orchestrator.errors import CheckError, Interrupted

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)

@ray.remote(num_cpus=0)
class Mine:
    def alive(self):
        return True

mine, said = Mine.remote(), {}

def interrupt(state):
    if any(stage.state == "running" for stage in state.stages):
        raise KeyboardInterrupt

def alive():
    return ray.is_initialized() and ray.get(mine.alive.remote(), timeout=60)

recipe = load_recipe("r.yaml")
try:
    run(load_recipe("r.yaml", ["evaluate.max_tokens=16"]))
except CheckError:
    said["refused"] = alive()
try:
    run(recipe, interrupt)
except Interrupted:
    said["interrupted"] = alive()
until = time.monotonic() + 60
while (free := ray.available_resources().get("CPU", 0)) < 2 and time.monotonic() < until:
    time.sleep(0.2)
said["free"] = free
said["models"] = [model.model for model in run(recipe).models]
said["after"] = alive()
print(json.dumps(said))
"""
RECIPE = """\
name: own
task: {type: units, demonstrations: {generate: 8}, test: {generate: 2}}
model: {name: tiny}
stages:
  sft: {type: sft, data: demonstrations, max_steps: 2, per_device_train_batch_size: 4}
evaluate: {models: [sft], on: test, max_tokens: 96, batch_size: 2}
"""


def test_it_is_joined_and_left_alive(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment() | TWO_CORES | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "refused": True,
        "interrupted": True,
        "free": 2,
        "models": ["sft"],
        "after": True,
    }
