"""The copy of the work folder at a URL: what is sent, what a stage starts with, what is removed."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Timer
from typing import Any

import fsspec
import pytest

from orchestrator.errors import InputError, StageError
from orchestrator.runs import mirror as module
from orchestrator.runs.mirror import Mirror
from orchestrator.runs.work import WorkFolder

KEY = "a" * 32


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(module, "_LOOK", 0.01)
    files = fsspec.filesystem("memory")
    yield "memory://bucket/work"
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)


@pytest.fixture
def there() -> Callable[[], dict[str, bytes]]:
    files = fsspec.filesystem("memory")
    return lambda: {name.removeprefix("/bucket/work/"): files.cat_file(name) for name in files.find("/bucket/work")}


def opened(url: str, folder: str) -> tuple[WorkFolder, Mirror]:
    work = WorkFolder(Path(folder))
    work.copy = made = Mirror(url, work.root)
    return work, made


def write(path: Path, text: str, seconds_ago: float = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (then := time.time() - seconds_ago, then))


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_written_is_sent_and_what_is_not_needed_is_removed(url: str, there: Any) -> None:
    work, _ = opened(url, "work")
    folder = work.folder(KEY)
    write(folder / "checkpoints/checkpoint-1/model", "one")
    write(folder / "checkpoints/checkpoint-1/half.tmp", "half")
    write(folder / "shard-000000.parquet", "being written", seconds_ago=-60)
    (folder / "journal.jsonl").write_text("first\n")
    until(lambda: there() == {f"{KEY}/checkpoints/checkpoint-1/model": b"one", f"{KEY}/journal.jsonl": b"first\n"})
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write("second\n")
    (folder / "checkpoints/checkpoint-1/model").rename(folder / "other")
    until(lambda: there() == {f"{KEY}/other": b"one", f"{KEY}/journal.jsonl": b"first\nsecond\n"})
    work.remove(KEY)
    until(lambda: not there())
    work.close()


def test_a_stage_begins_with_what_is_there_where_its_folder_is_empty(url: str, there: Any) -> None:
    work, _ = opened(url, "lost")
    write(work.folder(KEY) / "checkpoints/checkpoint-1/model", "one")
    until(there)
    work.close()
    other, _ = opened(url, "another-machine")
    assert (other.folder(KEY) / "checkpoints/checkpoint-1/model").read_text() == "one"
    assert not list(other.root.rglob("tmp*"))
    write(other.root / KEY / "checkpoints/checkpoint-1/model", "newer")
    other.close()
    again, _ = opened(url, "another-machine")
    assert (again.folder(KEY) / "checkpoints/checkpoint-1/model").read_text() == "newer", "local files are not replaced"
    again.close()
    assert there() == {f"{KEY}/checkpoints/checkpoint-1/model": b"newer"}


def test_what_was_written_last_is_sent_at_the_end(url: str, there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK", 3600.0)
    work, _ = opened(url, "work")
    write(work.folder(KEY) / "shard-000000.parquet", "rows")
    work.close()
    assert there() == {f"{KEY}/shard-000000.parquet": b"rows"}


def test_a_place_that_stops_answering_is_said_and_gets_it_later(
    url: str, there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, made = opened(url, "work")
    with monkeypatch.context() as patch:
        patch.setattr(type(made._files), "put_file", _refuse)
        write(work.folder(KEY) / "shard-000000.parquet", "rows")
        until(lambda: made.problem)
        assert made.problem == f"storage: {url} does not accept new files: ConnectionError: nobody answers"
    until(there)
    until(lambda: made.problem is None)
    work.close()


def test_what_cannot_be_fetched_fails_the_stage_and_leaves_nothing_half(
    url: str, there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = opened(url, "lost")
    for name in ("one", "two"):
        write(work.folder(KEY) / name, name)
    until(lambda: len(there()) == 2)
    work.close()
    other, made = opened(url, "work")
    files, get = type(made._files), type(made._files).get_file

    def first_only(self: Any, name: str, to: str) -> None:
        if name.endswith("two"):
            raise ConnectionError("nobody answers")
        get(self, name, to)

    with monkeypatch.context() as patch:
        patch.setattr(files, "get_file", first_only)
        with pytest.raises(StageError, match="cannot be fetched: ConnectionError: nobody answers; run the same"):
            other.folder(KEY)
    assert not list((other.root / KEY).iterdir())
    other.give_back(KEY)  # the stage has failed and left nothing here
    made._look()
    made._remove_gone()
    assert len(there()) == 2, "the files at the URL are kept"
    assert {path.name for path in other.folder(KEY).iterdir()} == {"one", "two"}
    other.close()


def test_a_stage_that_begins_again_waits_until_what_it_left_is_removed(
    url: str, there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, _ = opened(url, "lost")
    write(earlier.folder(KEY) / "one", "old")
    until(there)
    earlier.close()
    work, made = opened(url, "work")
    assert (work.folder(KEY) / "one").read_text() == "old"
    removing, go_on = Event(), Event()
    remove = type(made._files).rm

    def slow(*args: Any, **kwargs: Any) -> None:
        removing.set()
        assert go_on.wait(20)
        remove(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(made._files), "rm", slow)
        work.remove(KEY)
        assert removing.wait(20)
        Timer(0.2, go_on.set).start()
        assert not list(work.folder(KEY).iterdir())
        assert not there(), "no new files are removed with the old ones"
    write(work.root / KEY / "two", "new")
    until(lambda: there() == {f"{KEY}/two": b"new"})
    assert [path.name for path in (work.root / KEY).iterdir()] == ["two"]
    work.close()


@pytest.mark.parametrize("refused", ["rm", "find"])
def test_a_stage_does_not_wait_for_good_and_what_it_writes_is_not_removed(
    url: str, there: Any, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    earlier, _ = opened(url, "lost")
    write(earlier.folder(KEY) / "one", "old")
    until(there)
    earlier.close()
    work, made = opened(url, "work")
    work.folder(KEY)
    with monkeypatch.context() as patch:
        patch.setattr(type(made._files), refused, _refuse)
        work.remove(KEY)
        assert not list(work.folder(KEY).iterdir()), "it starts with nothing"
    write(work.root / KEY / "one", "new")
    until(lambda: there() == {f"{KEY}/one": b"new"})
    made._remove_gone()
    assert there(), "the stage is running"
    work.remove(KEY)
    until(lambda: not there())
    work.close()


def test_what_is_written_last_before_an_end_is_sent(url: str, there: Any) -> None:
    work, _ = opened(url, "work")
    write(work.folder(KEY) / "shard-000000.parquet", "rows", seconds_ago=0)
    work.close()
    work.close()
    assert there() == {f"{KEY}/shard-000000.parquet": b"rows"}


def test_what_is_finished_elsewhere_is_removed(url: str, there: Any) -> None:
    earlier, _ = opened(url, "lost")
    write(earlier.folder(KEY) / "one", "old")
    write(earlier.folder("b" * 32) / "one", "old")
    until(lambda: len(there()) == 2)
    earlier.close()
    work, made = opened(url, "work")
    made.remove(KEY)  # it is reused
    work.close()
    assert there() == {f"{'b' * 32}/one": b"old"}


def _refuse(*_: Any, **__: Any) -> None:
    raise ConnectionError("nobody answers")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://bucket/work", "storage: nosuch://bucket/work: Protocol not known: nosuch; name a folder, or a URL"),
        ("s3://bucket/work", "s3fs"),
        ("file:///proc/nowhere", "storage: file:///proc/nowhere cannot be written: "),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        Mirror(url, tmp_path)
    assert said in str(raised.value) and "\n" not in str(raised.value)
