"""Copies of artifacts: a process need not fetch what it has written itself."""

import errno
import os
from pathlib import Path

import pytest

from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredRun

SERVED = "mlflow-artifacts:/1/run/artifacts"


def artifacts(location: str = SERVED) -> Artifacts:
    """The artifacts of a store whose client must not be used."""

    def find(run_id: str) -> StoredRun:
        return StoredRun(run_id, "", "", "", None, 0.0, None, location)

    return Artifacts(find, lambda: None, Path("copies"))


def made() -> Path:
    (folder := Path("made")).joinpath("model", "more").mkdir(parents=True)
    folder.joinpath("model", "weights").write_text("w")
    folder.joinpath("model", "more", "settings").write_text("s")
    folder.joinpath("completions.parquet").write_text("rows")
    return folder


@pytest.mark.parametrize("linked", [True, False])
def test_what_a_run_was_given_is_its_copy(linked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not linked:

        def no_link(*_: object) -> None:
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "link", no_link)
    folder, here = made(), artifacts()
    for name in ("model", "completions.parquet"):
        here.keep("r", SERVED, folder, name)
    assert here.path("r", "completions.parquet").read_text() == "rows"
    copy = here.path("r", "model")
    assert copy != folder / "model" and copy.joinpath("weights").read_text() == "w"
    assert copy.joinpath("more", "settings").read_text() == "s"
    assert (copy.joinpath("weights").stat().st_ino == folder.joinpath("model", "weights").stat().st_ino) == linked
    here.keep("r", SERVED, folder, "model")  # there is one already
    assert sorted(path.name for path in Path("copies", "r").iterdir()) == ["completions.parquet", "model"]
    assert [path.name for path in Path("copies").iterdir()] == ["r"]


def test_a_store_on_this_machine_keeps_no_copy() -> None:
    artifacts("file:///store").keep("r", "file:///store", made(), "model")
    assert not Path("copies").exists()


def test_without_room_there_is_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("shutil.copytree", full)
    artifacts().keep("r", SERVED, made(), "model")
    assert not Path("copies", "r", "model").exists()
