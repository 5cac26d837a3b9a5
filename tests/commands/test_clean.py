"""What `orch clean` deletes from a work folder, and what it never touches."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands import clean as cleaning
from orchestrator.commands.clean import Cleaned, clean, much_work
from orchestrator.errors import InputError
from orchestrator.runs.work import WorkFolder
from orchestrator.store.base import Store
from orchestrator.store.memory import MemoryStore
from orchestrator.store.names import KEY_TAG
from orchestrator.store.opening import using
from tests.cli.test_cli import orch
from tests.runs.test_work import hold, said

WORK = Path("mlruns/work")
DAY = 86_400


def key(letter: str) -> str:
    return letter * 32


def folder(name: str, size: int = 1000, days: float = 0, **about: str) -> Path:
    """A stage's folder, last changed the given number of days ago."""
    path = WORK / name
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "optimizer.pt").write_bytes(bytes(size))
    if about:
        (path / "stage.json").write_text(json.dumps(about))
    for file in (*path.rglob("*"), path):
        os.utime(file, (time.time() - days * DAY,) * 2)
    return path


@pytest.fixture
def work() -> WorkFolder:
    """The work folder next to this folder's store."""
    WORK.mkdir(parents=True)
    (WORK / "locks").mkdir()
    return WorkFolder(WORK, to_run=False)


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    """The store that `clean` uses."""
    store = MemoryStore(Path("store"))
    with using(store):
        yield store


def ran(store: Store, letter: str, status: str, error: str | None = None) -> str:
    """Write the run of a stage with this key; return its id as shown."""
    run_id = store.start(store.experiment("mine"), "sft", {KEY_TAG: key(letter)}, {})
    store.end(run_id, status, error)
    return run_id[:8]


def fates(found: Cleaned) -> dict[str, bool]:
    return {one.path.name[0]: one.goes for one in found.leftovers}


def test_the_work_of_finished_and_failed_stages_goes_and_what_can_be_gone_on_from_stays(
    work: WorkFolder, store: MemoryStore
) -> None:
    for letter in "abcdef":
        folder(key(letter), recipe="mine", stage="sft")
    ids = {
        "a": ran(store, "a", "FINISHED"),
        "b": ran(store, "b", "FAILED", "stage 'sft' failed: no room\non the GPU"),
        "c": ran(store, "c", "KILLED", "interrupted"),
        "d": ran(store, "d", "RUNNING"),
    }
    ran(store, "e", "FAILED", "stage 'sft' failed: disk full: /work has 0 MB free; make room")
    found = clean()
    assert fates(found) == {"a": True, "b": True, "c": False, "d": False, "e": False, "f": False}
    assert not found.deleted and found.freed == sum(one.size for one in found.leftovers if one.goes) > 2000
    whys = {one.path.name[0]: one.why for one in found.leftovers}
    assert whys["a"] == f"the stage is finished in run {ids['a']}"
    assert whys["b"] == f"it failed in run {ids['b']}: stage 'sft' failed: no room on the GPU"
    for letter in "cd":
        assert whys[letter] == f"it was cut off in run {ids[letter]}; the same recipe resumes from here"
    assert "when the disk was full" in whys["e"] and whys["f"].startswith("no run in this store")
    assert {one.what for one in found.leftovers} == {"stage sft of mine"}
    assert len(list(WORK.iterdir())) == 7, "nothing is deleted yet"
    assert clean(delete=True).deleted
    assert sorted(path.name[0] for path in WORK.iterdir()) == ["c", "d", "e", "f", "l"]
    assert fates(clean(delete=True, everything=True)) == dict.fromkeys("cdef", True)
    assert [path.name for path in WORK.iterdir()] == ["locks"] and list((WORK / "locks").iterdir()) == []


def test_what_is_old_goes(work: WorkFolder, store: MemoryStore) -> None:
    folder(key("a"), days=13)
    folder(key("b"), days=15)
    for letter in "ab":
        ran(store, letter, "KILLED")
    assert fates(clean()) == {"a": False, "b": True}
    assert fates(clean(older_than=12)) == {"a": True, "b": True}
    assert fates(clean(older_than=16)) == {"a": False, "b": False}


def test_what_a_running_process_holds_is_never_touched(work: WorkFolder, store: MemoryStore) -> None:
    for letter in "ab":
        ran(store, letter, "FAILED")
    folder(key("a"), days=99)
    folder(key("b"), days=99)
    with hold_in(key("a")) as process:
        assert said(process) == "held"
        found = clean(everything=True, delete=True, older_than=0)
        assert fates(found) == {"a": False, "b": True} and (WORK / key("a")).is_dir()
        assert "a process is working on it" in {one.why for one in found.leftovers}
        process.kill()
    assert fates(clean(everything=True, delete=True)) == {"a": True}, "a dead process's lock protects nothing"


def hold_in(name: str) -> Any:
    """Start a process that holds a stage's lock in the work folder of these tests."""
    Path("work").symlink_to(WORK)
    return hold(name)


def test_an_evaluation_is_known_by_what_was_noted_of_it(work: WorkFolder, store: MemoryStore) -> None:
    above = store.start(store.experiment("mine"), "mine", {}, {})
    store.end(above, "FAILED", "why")
    folder(key("a"), stage="evaluate.sft", recipe="mine", run="gone", parent=above, also="")
    [one] = clean().leftovers
    assert one.goes and one.what == "stage evaluate.sft of mine"


def test_inputs_and_copies(work: WorkFolder, store: MemoryStore) -> None:
    folder("inputs", 10)
    folder("inputs-123", 10)
    for name, days in (("0" * 32, 1), ("1" * 32, 20)):
        copy = Path("mlruns/downloads", name)
        copy.mkdir(parents=True)
        (copy / "file").write_text("x")
        for path in (copy / "file", copy):
            os.utime(path, (time.time() - days * DAY,) * 2)
    assert {one.path.name: one.goes for one in clean().leftovers} == {
        "inputs": True,
        "inputs-123": True,
        "0" * 32: False,
        "1" * 32: True,
    }
    lock = work.lock("run-me")
    assert lock is not None
    assert not any(one.goes for one in clean(everything=True).leftovers), "a run may be reading any of it"
    work.release(lock)
    clean(everything=True, delete=True)
    assert [path.name for path in WORK.iterdir()] == ["locks"] and not list(Path("mlruns/downloads").iterdir())


def test_what_is_not_of_orch_is_not_even_listed(work: WorkFolder, store: MemoryStore) -> None:
    (WORK / "notes").mkdir()
    (WORK / "notes" / "mine").write_text("mine")
    (WORK / "file").write_text("mine")
    (WORK / key("a")).symlink_to("notes")
    assert clean(everything=True, delete=True).leftovers == ()
    assert (WORK / "notes" / "mine").exists() and (WORK / key("a")).is_symlink()


@pytest.mark.parametrize("name", [".", "/", "somewhere"])
def test_a_folder_that_is_no_work_folder_is_refused(name: str) -> None:
    Path("a" * 32).mkdir()
    with pytest.raises(InputError, match=r"is not an orch work folder|no such folder"):
        clean(name, everything=True, delete=True)
    assert Path("a" * 32).is_dir()


def test_without_a_work_folder_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert clean().leftovers == () and list(Path().iterdir()) == []
    assert orch("clean") == 0 and "Nothing to delete" in capsys.readouterr().out


def test_on_the_command_line(work: WorkFolder, store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    folder(key("a"), 3_000_000, days=2, recipe="mine", stage="sft")
    folder(key("b"))
    ran(store, "a", "FAILED", "why"), ran(store, "b", "KILLED")
    assert orch("clean") == 0
    out = capsys.readouterr().out
    assert "nothing is deleted yet" in out and "3.0 MB" in out and "2 days" in out and "kept" in out
    assert orch("clean", "--json", "--yes") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["deleted"] and told["freed"] > 3_000_000 and "3.0 MB freed" in shown.err
    assert [(one["path"], one["goes"]) for one in told["leftovers"]] == [
        (str(Path(told["folder"], key(letter))), letter == "a") for letter in "ab"
    ]
    assert not (WORK / key("a")).exists() and (WORK / key("b")).is_dir()


def test_a_large_work_folder_is_told_of(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(key("a"), 5000)
    assert much_work(None) is None
    monkeypatch.setattr(cleaning, "LARGE", 5000)
    said_of_it = much_work(None)
    assert said_of_it is not None and "`orch clean` lists what can be deleted" in said_of_it
    assert "orch clean --storage mlruns/work" in str(much_work(WORK))


def test_a_folder_with_nothing_to_go_on_from_is_given_back_at_once(work: WorkFolder) -> None:
    for name, keeps in ({"journal.jsonl": False, "stage.json": False, "shard-000000.parquet": True}).items():
        path = work.folder(key("a"))
        (path / name).write_text("{}")
        work.give_back(key("a"))
        assert path.exists() is keeps


def test_what_cannot_be_deleted_is_kept_and_says_why(
    work: WorkFolder, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(key("a"))
    ran(store, "a", "FAILED")

    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cleaning.shutil, "rmtree", refuse)
    [one] = clean(delete=True).leftovers
    assert not one.goes and one.why.startswith("it cannot be deleted: Permission denied")
