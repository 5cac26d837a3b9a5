"""The work folder: which processes are using it, and when it cannot be used."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import InputError
from orchestrator.runs import work as work_module
from orchestrator.runs.work import MIN_FREE, WorkFolder

HOLD = """
import sys
from pathlib import Path
from orchestrator.runs.work import WorkFolder
held = WorkFolder(Path("work")).lock(sys.argv[1])
print("held" if held else "taken", flush=True)
sys.stdin.readline()
"""


def hold(key: str) -> "subprocess.Popen[str]":
    """Start another process that takes a lock and keeps it until it reads a line or is killed."""
    command = [sys.executable, "-c", HOLD, key]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_folder_for_each_stage() -> None:
    work = WorkFolder(Path("deep/work"))
    folder = work.folder("k")
    assert folder.is_dir() and folder.is_absolute() and work.folder("k") == folder
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("x")
    work.remove("k")
    work.remove("k")
    assert not folder.exists()


def test_a_lock_is_held_once_and_leaves_nothing_behind() -> None:
    work, other = WorkFolder(Path("work")), WorkFolder(Path("work"))
    lock = work.lock("k")
    assert lock is not None
    assert other.lock("k") is None and work.lock("k") is None
    another = other.lock("l")
    assert another is not None
    work.release(lock)
    again = other.lock("k")
    assert again is not None
    for held in (again, another):
        other.release(held)
    assert list(Path("work/locks").iterdir()) == []


def test_locks_hold_between_processes_and_die_with_them() -> None:
    work = WorkFolder(Path("work"))
    lock = work.lock("ours")
    assert lock is not None
    with hold("theirs") as theirs, hold("ours") as refused:
        assert said(theirs) == "held" and said(refused) == "taken"
        assert work.lock("theirs") is None
        assert list(work.abandoned("")) == []
        theirs.kill()  # it cannot release anything
        theirs.wait()
        refused.kill()
    assert list(work.abandoned("th")) == ["eirs"], "the key without the prefix"
    assert list(work.abandoned("")) == [], "reported once"
    work.release(lock)


def test_a_lock_left_by_a_dead_process_can_be_taken() -> None:
    work = WorkFolder(Path("work"))
    with hold("k") as dead:
        assert said(dead) == "held"
        dead.kill()
    taken = work.lock("k")
    assert taken is not None
    work.release(taken)


def test_a_full_disk_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [MIN_FREE - 1]
    monkeypatch.setattr(work_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    with pytest.raises(InputError, match=r"^storage: \S*work has 256 MB free, but a run needs at least 256 MB; make"):
        WorkFolder(Path("work"))
    assert not Path("work").exists()
    free[0] = MIN_FREE
    WorkFolder(Path("work"))


def test_a_folder_that_cannot_be_made() -> None:
    Path("file").write_text("")
    for path in ("file", "file/inside"):
        with pytest.raises(InputError, match=rf"^storage: \S*{path} cannot be written: \w.*; name another folder"):
            WorkFolder(Path(path))


def test_a_folder_that_is_there_and_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    WorkFolder(Path("work"))

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(work_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"^storage: \S*work cannot be written: Read-only file system; name another"):
        WorkFolder(Path("work"))


def folder_of(name: str, content: str) -> Path:
    folder = Path(name)
    folder.mkdir()
    (folder / "weights").write_text(content)
    return folder


def test_what_is_shared_is_copied_once() -> None:
    work = WorkFolder(Path("work"))
    shared = work.share(folder_of("model", "a"), "run")
    assert shared.is_relative_to(work.root) and (shared / "weights").read_text() == "a"
    assert work.share(folder_of("other", "b"), "run") == shared
    assert (shared / "weights").read_text() == "a"
    assert [p.name for p in shared.parent.iterdir()] == ["run"], "no partial copy is left"


def test_a_copy_that_breaks_off_is_no_copy() -> None:
    work = WorkFolder(Path("work"))
    with pytest.raises(OSError, match="missing"):
        work.share(Path("missing"), "run")
    assert list((work.root / "inputs").iterdir()) == []
    assert (work.share(folder_of("model", "a"), "run") / "weights").exists()


def test_a_file_is_shared_as_a_folder_is() -> None:
    work = WorkFolder(Path("work"))
    Path("chosen.parquet").write_text("rows")
    shared = work.share(Path("chosen.parquet"), "run")
    assert shared.is_relative_to(work.root) and shared.suffix == ".parquet" and shared.read_text() == "rows"
    assert work.share(Path("missing.parquet"), "run") == shared


def test_what_is_shared_goes_with_the_last_run_at_work() -> None:
    work = WorkFolder(Path("work"))
    work.forget_inputs("run-")
    shared = work.share(folder_of("model", "a"), "run")
    lock, stage = work.lock("run-other"), work.lock("stage")
    assert lock is not None and stage is not None
    work.forget_inputs("run-")
    assert shared.exists(), "another run is active"
    work.release(lock)
    work.forget_inputs("run-")
    assert [p.name for p in work.root.iterdir()] == ["locks"]
    work.release(stage)
