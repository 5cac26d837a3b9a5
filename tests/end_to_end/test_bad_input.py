"""Bad input, as a user meets it: exit 2, one line per problem, nothing written."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from orchestrator.models.base import TINY
from tests.conftest import SMALL, Called, call

FILE = "task.train={file: data.json}"
TAG_IN_PROMPT = 'task.format.prompt="{question}\\n<answer>"'


def data(folder: Path, content: object) -> None:
    path = folder / "data.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def refused(folder: Path, *overrides: str, code: int = 2, **env: str) -> Called:
    before = sorted(folder.rglob("*"))
    called = call(folder, "run", str(SMALL), *overrides, **env)
    assert called.code == code, called.err
    assert called.after_the_first_line == ""
    lines = called.err.strip().splitlines()
    assert lines and all(line.startswith("orch: ") for line in lines), called.err
    assert sorted(folder.rglob("*")) == before, "something was written"
    return called


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.rft.learning_rat=1e-3", "did you mean 'learning_rate'?"),
        ("stages.sft.type=stf", "did you mean 'sft'?"),
        ("stages.rft.model=nowhere", "unknown stage 'nowhere'"),
        ("stages.sft.data=[demonstrations, chosen]", "only use stages above it"),
        ("stages.sft.model=sft", "only use stages above it"),
        ("stages.sft.learning_rate=fast", "got 'fast'"),
        ("stages.samples.n=0", "greater than 0"),
        ("stages.grpo.num_generations=5", "cannot be cut into groups of num_generations = 5"),
        ("task.test.generate=0", "greater than 0"),
        ("task.train.generate=100000000", "less than or equal to 1000000"),
        ("model.name=./no-such-folder", "no such folder"),
        ("model.name=nobody/nothing", "cannot be reached and the local cache does not have it"),
        ("evaluate.models=[sfd]", "did you mean 'sft'?"),
        ("name=", "name"),
    ],
)
def test_settings(tmp_path: Path, override: str, said: str) -> None:
    assert said in refused(tmp_path, override).err


def test_a_later_stage(tmp_path: Path) -> None:
    text = SMALL.read_text()
    chosen = next(line for line in text.splitlines() if line.strip().startswith("chosen:"))
    (tmp_path / "r.yaml").write_text(text.replace(chosen + "\n", "").replace("evaluate:", chosen + "\nevaluate:"))
    called = call(tmp_path, "run", "r.yaml")
    assert called.code == 2
    assert "stage 'chosen' comes later in the recipe; move it above 'rft'" in called.err


GOOD = [["How many m in 1 km?", 1000], ["How many g in 2 kg?", 2000]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("", "empty"),
        (b"\x00\xff\xfe\x80binary", "not"),
        ('[["a", 1], ', "data.json"),
        ('{"question": "a"}', "data.json"),
        ([["a", 1], ["b"]], "row 2"),
        ([{"question": "a"}], "answer"),
        ([["a", "many"], ["b", 2]], "not a number"),
        ([["same", 1], ["same", 2]], "same"),
        ([{"id": "x", "question": "a", "answer": 1}, {"id": "x", "question": "b", "answer": 2}], "x"),
    ],
)
def test_data_files(tmp_path: Path, content: object, said: str) -> None:
    if content is not None:
        data(tmp_path, content)
    called = refused(tmp_path, FILE)
    assert "data.json" in called.err and said in called.err


def test_test_questions_in_train(tmp_path: Path) -> None:
    data(tmp_path, GOOD)
    assert "also appear in task.train" in refused(tmp_path, FILE, "task.test={file: data.json}").err


def test_a_model_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is not a model folder: it has no config.json" in refused(tmp_path, "model.name=empty").err
    (tmp_path / "empty" / "config.json").write_text("{}")
    assert "it has no weights" in refused(tmp_path, "model.name=empty").err


def test_what_is_refused_when_ray_has_started_leaves_nothing(tmp_path: Path) -> None:
    here, odd = tmp_path / "here", tmp_path / "odd"
    here.mkdir()
    shutil.copytree(TINY, odd)
    (odd / "config.json").write_text("{}")  # only the library can tell that this is not a model
    far = tmp_path / ("far" * 30)  # too long for the paths of Ray's sockets
    far.mkdir()
    assert str(odd) in refused(here, f"model.name={odd}", TMPDIR=str(far)).err
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # as if somebody else had started Ray here
        (Path(folder) / "ray_current_cluster").write_text("127.0.0.1:9")
        assert "opening-in-prompt" in refused(here, TAG_IN_PROMPT, code=3, RAY_TMPDIR=folder).err
        (Path(folder) / "file").write_text("")
        said = refused(here, RAY_TMPDIR=f"{folder}/file").err
        assert "Ray cannot be started" in said and "set RAY_TMPDIR" in said


def test_an_unreachable_tracking_server(tmp_path: Path) -> None:
    called = refused(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert "the MLflow store at http://127.0.0.1:9 cannot be reached" in called.err
    assert len(called.err.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_no_space(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        assert "1 MB free" in refused(tmp_path, f"storage={disk}/work").err
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_all_problems_at_once(tmp_path: Path) -> None:
    called = refused(tmp_path, "stages.samples.n=0", "sede=1", "stages.rft.model=x", "task.test.generate=many")
    assert len(called.err.strip().splitlines()) == 4


def test_arguments(tmp_path: Path) -> None:
    assert call(tmp_path, "run").code == 2
    assert call(tmp_path, "rnu", str(SMALL)).code == 2
    assert call(tmp_path, "run", str(SMALL), "stages").code == 2
    assert call(tmp_path, "run", "nowhere.yaml").code == 2
    assert call(tmp_path, "ui").code == 2  # no store yet
    assert list(tmp_path.iterdir()) == []
