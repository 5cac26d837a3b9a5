"""`storage: URL`: a run whose machine is lost continues elsewhere from the files at the URL."""

import os
import shutil
import signal
from pathlib import Path

from tests.conftest import SMALL, call
from tests.end_to_end.test_disturbed import family, gone, origin, start, wait_for
from tests.support.store import artifact, children

ALONE = """\
extends: {small}
stages: {{sft: {{max_steps: 200, save_steps: 20}}, samples: null, chosen: null, rft: null, grpo: null}}
evaluate: {{models: [sft]}}
"""


def test_the_work_of_a_machine_that_is_lost_is_not(tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(ALONE.format(small=SMALL))
    storage = f"storage=file://{place}"
    first = tmp_path / "first"
    first.mkdir()
    planned = call(first, "plan", str(recipe), storage, "--json").json["stages"]
    key = next(str(stage["key"]) for stage in planned if stage["name"] == "sft")
    process = start(first, "run", str(recipe), storage)
    wait_for(lambda: any((place / key / "checkpoints").glob("checkpoint-*/.digests.json")), process)
    everyone = family(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(everyone)
    shutil.rmtree(first)
    second = tmp_path / "second"
    second.mkdir()
    known = {file.name for file in (place / key / "checkpoints").iterdir()}
    process = start(second, "run", str(recipe), storage)
    began = second / "mlruns" / "work" / key / "checkpoints"
    wait_for(lambda: began.is_dir() and {file.name for file in began.iterdir()} >= known, process)
    assert process.wait(600) == 0, (second / "stderr").read_text()
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = call(undisturbed, "run", str(recipe), "--json")
    ran = call(second, "run", str(recipe), storage, "--json")
    assert ran.code == 0 and all(stage["cached"] for stage in ran.json["stages"])
    assert ran.json["models"] == wanted.json["models"]
    ours, theirs = children(second, ran.json["run_id"]), children(undisturbed, wanted.json["run_id"])
    name = "model/adapter_model.safetensors"
    assert artifact(origin(second, ours["sft"]), name).read_bytes() == artifact(theirs["sft"], name).read_bytes()
    assert not [path for path in place.rglob("*") if path.is_file()], "finished output is in the store only"


def test_a_url_that_cannot_be_used_costs_nothing(tmp_path: Path) -> None:
    called = call(tmp_path, "run", str(SMALL), "storage=nosuch://bucket/work")
    assert called.code == 2 and called.err.startswith("orch: storage: nosuch://bucket/work: ")
    assert called.err.count("\n") == 1 and not (tmp_path / "mlruns" / "mlflow.db").exists()
