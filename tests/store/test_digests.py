"""The contents of files when they were written, compared with their contents now."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import OutputError
from orchestrator.store import digests as module
from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredRun
from orchestrator.store.digests import FileDigest, as_text, changes, digests_of, from_text, lost
from orchestrator.store.names import CHOSEN, COMPLETIONS, MODEL, RESULTS, digest_tag, output_of
from orchestrator.store.outputs import StoredOutputs


@pytest.fixture
def model() -> Path:
    folder = Path("run/artifacts/model")
    (folder / "inner").mkdir(parents=True)
    for name in ("adapter_model.safetensors", "adapter_config.json", "inner/file", "README.md", ".hidden"):
        (folder / name).write_text(name)
    return folder


def test_a_folder_is_its_files_but_for_prose_and_what_is_hidden(model: Path) -> None:
    found = digests_of(model)
    assert sorted(found) == ["adapter_config.json", "adapter_model.safetensors", "inner/file"]
    assert from_text(as_text(found)) == found and list(changes(model, found, full=True)) == []
    (model / "README.md").write_text("mine")
    assert list(changes(model, found, full=True)) == []


def test_each_change_is_named(model: Path) -> None:
    found = digests_of(model)
    (model / "adapter_model.safetensors").write_text("adapter_model.safetensorz")
    os.truncate(model / "adapter_config.json", 3)
    (model / "inner" / "file").unlink()
    (model / "generation_config.json").write_text("{}")
    assert list(changes(model, found)) == [
        "adapter_config.json has 3 bytes instead of 19",
        "adapter_model.safetensors has the same size, 25 bytes, but different content",
        "inner/file is missing",
        "generation_config.json is new",
    ]
    assert lost(model, found) == ["inner/file"]


def test_a_copy_has_other_times_and_is_the_same(model: Path) -> None:
    found = digests_of(model)
    shutil.copytree(model, "copy", copy_function=shutil.copyfile)
    os.utime("copy/adapter_model.safetensors", (0, 0))
    assert list(changes(Path("copy"), found)) == []


def test_a_large_file_is_read_where_its_time_has_changed_and_on_a_full_look(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALL", 4)
    found, file = digests_of(model), model / "adapter_model.safetensors"
    read: list[str] = []
    real = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda path: (read.append(path.name), real(path))[1])
    assert list(changes(model, found)) == [] and read == [], "sizes and times are unchanged"
    was = file.stat().st_mtime_ns
    file.write_text("adapter_model.safetensorz")
    assert len(list(changes(model, found))) == 1 and read == [file.name]
    os.utime(file, ns=(was, was))
    assert list(changes(model, found)) == [], "only this cheap check is promised"
    assert len(list(changes(model, found, full=True))) == 1


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a": 1}', '{"a": [1, 2]}', '{"a": ["x", 1, "s"]}', "null"])
def test_what_is_no_record_is_none(text: str) -> None:
    assert from_text(text) is None


def test_each_output_has_a_tag_of_its_own() -> None:
    names = [MODEL, RESULTS, output_of(RESULTS, "longer"), output_of(RESULTS, "x/y")]
    assert [digest_tag(name) for name in names] == [
        "orch.output",
        "orch.eval_output",
        "orch.eval_output.longer",
        "orch.eval_output.x/y",
    ]
    assert {digest_tag(output) for output in (MODEL, COMPLETIONS, CHOSEN)} == {"orch.output"}


def store(tags: dict[str, str], remote: Path | None = None) -> tuple[StoredRun, StoredOutputs]:
    """A run whose artifacts are stored here, or elsewhere, in which case they are fetched."""
    uri = Path("run/artifacts").absolute().as_uri() if remote is None else "mlflow-artifacts:/1"
    run = StoredRun("r", "sft", "test", "FINISHED", None, 0.0, 1.0, uri, tags=tags)

    def fetch(run_id: str, name: str, to: str) -> str:
        assert remote is not None
        shutil.copytree(remote, Path(to) / name, copy_function=shutil.copyfile)
        return str(Path(to) / name)

    def listed(run_id: str, folder: str | None) -> list[Any]:
        assert remote is not None
        return [
            SimpleNamespace(path=f"model/{p.name}", is_dir=False, file_size=p.stat().st_size) for p in remote.glob("*")
        ]

    client = SimpleNamespace(download_artifacts=fetch, list_artifacts=listed)
    Path("copies").mkdir(exist_ok=True)
    return run, StoredOutputs(Artifacts({"r": run}.__getitem__, lambda: client, Path("copies")))


def test_an_output_is_held_against_its_run(model: Path) -> None:
    tags: dict[str, str] = {}
    _, outputs = store(tags)
    assert outputs.path("r", "model") == model.absolute(), "an older run has no digests: its output is used as it is"
    tags |= outputs.record(model.parent, "model")
    assert outputs.path("r", "model", full=True) == model.absolute()
    os.truncate(model / "adapter_model.safetensors", 3)
    with pytest.raises(OutputError, match=r"^the output of run r has changed since it was written: adapter_model\.saf"):
        outputs.path("r", "model")


def test_what_was_changed_is_not_there_and_told_what_is_lost_is_not_there(model: Path) -> None:
    tags: dict[str, str] = {}
    run, outputs = store(tags)
    tags |= outputs.record(model.parent, "model")
    told: list[str] = []
    assert outputs.is_there(run, MODEL, told.append) and not told
    (model / "inner" / "file").unlink()
    assert not outputs.is_there(run, MODEL, told.append) and not told, "it will be written again"
    (model / "inner" / "file").write_text("other")
    assert not outputs.is_there(run, MODEL, told.append)
    assert len(told) == 1 and "inner/file has 5 bytes instead of 10" in told[0]


def test_an_output_of_many_files_is_listed_in_a_file_whose_digest_the_tag_holds(model: Path) -> None:
    for number in range(100):
        (model / f"model-{number:05}-of-00100.safetensors").write_text(str(number))
    tags: dict[str, str] = {}
    _, outputs = store(tags)
    tags |= outputs.record(model.parent, "model")
    assert len(tags["orch.output"]) < 8000 and outputs.path("r", "model") == model.absolute()
    (model / "model-00050-of-00100.safetensors").write_text("51")
    with pytest.raises(OutputError, match="model-00050-of-00100"):
        outputs.path("r", "model")
    (model.parent / "digests.json").write_text("{}")
    with pytest.raises(OutputError, match=r"digests\.json has 2 bytes"):
        outputs.path("r", "model")


def test_what_is_fetched_is_verified_and_fetched_again_where_the_transfer_broke_off(model: Path) -> None:
    digests = digests_of(model)
    run, outputs = store({"orch.output": as_text(digests)}, remote=model)
    copy = outputs.path("r", "model")
    assert copy == Path("copies/r/model").absolute()
    file = "adapter_model.safetensors"
    assert (copy / file).stat().st_mtime_ns == digests[file].mtime_ns, "the next check is a cheap one"
    os.truncate(copy / file, 3)
    assert (outputs.path("r", "model") / file).read_text() == file
    os.truncate(model / file, 3)
    told: list[str] = []
    assert not outputs.is_there(run, MODEL, told.append) and "has 3 bytes instead of 25" in told[0]
    os.truncate(copy / file, 3)
    with pytest.raises(OutputError, match="has 3 bytes instead of 25"):
        outputs.path("r", "model")


def test_a_digest_is_of_the_content() -> None:
    Path("file").write_text("abc")
    [(name, found)] = digests_of(Path("file")).items()
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (name, found) == ("file", FileDigest(3, Path("file").stat().st_mtime_ns, sha))
