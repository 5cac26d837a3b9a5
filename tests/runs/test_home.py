"""The driver's work folder, for machines that cannot see it: what is fetched, what is sent, and when."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from orchestrator.errors import InputError, StageError
from orchestrator.runs import home as module
from orchestrator.runs import sending
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.home import Files, Home, Sent, close_home, open_home, sent
from orchestrator.runs.sending import Sender, kept_at_home
from orchestrator.runs.work import GUEST, LOCKS, WorkFolder

OLD = 1_000_000_000


class Called:
    """A method of an actor that runs in this process."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


class Near:
    """`Files` in this process, as Ray's handle of it."""

    def __init__(self, root: Path) -> None:
        self._files = Files(root)

    def __getattr__(self, name: str) -> Called:
        return Called(getattr(self._files, name))


class Two(Cluster):
    """Two machines: the driver's, and one that cannot see its disk, where calls get a path that does not exist."""

    def on_each_machine(
        self, function: Callable[[Any], Any], argument: Any, timeout: float | None = None
    ) -> list[tuple[str, Any]]:
        there = f"/proc/nothing{argument}" if isinstance(argument, str) else (Path("/proc/nothing"), argument[1])
        return [("here", function(argument)), ("there", function(there))]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Home]:
    """The driver's folder, and a home whose worker has another folder in its place."""
    monkeypatch.setattr("ray.get", lambda value: value)
    monkeypatch.setattr(module, "_PIECE", 10)
    driver, worker = tmp_path / "driver", tmp_path / "worker"
    driver.mkdir()
    worker.mkdir()
    return driver, Home(worker, "home-1", Near(driver))


def written(path: Path, text: str, when: int = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def test_inputs_are_fetched_whole_and_once(places: tuple[Path, Home]) -> None:
    driver, home = places
    written(driver / "inputs/a.parquet", "x" * 25)
    written(driver / "inputs/m/config.json", "{}")
    written(driver / "inputs/m/deep/weights", "y" * 20)
    for _ in range(2):
        home.fetch("inputs/a.parquet")
        home.fetch("inputs/m")
        written(driver / "inputs/a.parquet", "changed")
    assert (home.root / "inputs/a.parquet").read_text() == "x" * 25
    assert (home.root / "inputs/m/deep/weights").read_text() == "y" * 20
    assert sorted(p.name for p in (home.root / "inputs").iterdir()) == ["a.parquet", "m"], "no partial copy is left"


def test_what_cannot_be_fetched_is_not_there(places: tuple[Path, Home]) -> None:
    driver, home = places
    written(driver / "inputs/m/config.json", "{}")
    (driver / "inputs/m/config.json").chmod(0o600)
    home.files._files.read = lambda name, begin: (_ for _ in ()).throw(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        home.fetch("inputs/m")
    assert list((home.root / "inputs").iterdir()) == []


def test_a_folder_is_begun_as_it_is_at_home_and_what_is_written_is_sent(places: tuple[Path, Home]) -> None:
    driver, home = places
    work = home.root / "key"
    written(driver / "key/checkpoints/checkpoint-5/weights", "five")
    written(driver / "key/journal.jsonl", "1\n")
    written(driver / "key/logs/other-1.log", "elsewhere")
    written(work / "checkpoints/checkpoint-9/weights", "of a try that was given up")
    with kept_at_home(home, work):
        assert (work / "checkpoints/checkpoint-5/weights").read_text() == "five"
        assert not (work / "checkpoints/checkpoint-9/weights").exists() and not (work / "logs").exists()
        written(work / "checkpoints/checkpoint-10/weights", "w" * 35)
        (work / "checkpoints/checkpoint-5/weights").unlink()
        written(work / "empty", "")
        written(work / "half.tmp3", "half")
        (work / "journal.jsonl").write_text("1\n2\n")
    assert (driver / "key/checkpoints/checkpoint-10/weights").read_text() == "w" * 35
    assert not (driver / "key/checkpoints/checkpoint-5").exists(), "it was removed there, so it is removed here"
    assert (driver / "key/empty").read_text() == "" and (driver / "key/journal.jsonl").read_text() == "1\n2\n"
    assert (driver / "key/logs/other-1.log").read_text() == "elsewhere"
    assert not list(driver.rglob("*.tmp*")) and not work.exists(), "nothing is left on the worker's machine"


def test_it_is_sent_also_where_the_call_fails(places: tuple[Path, Home]) -> None:
    driver, home = places
    (driver / "key").mkdir()
    with pytest.raises(ValueError, match="no"), kept_at_home(home, home.root / "key"):
        written(home.root / "key/checkpoints/checkpoint-1/weights", "one")
        raise ValueError("no")
    assert (driver / "key/checkpoints/checkpoint-1/weights").read_text() == "one"


def test_what_says_that_a_checkpoint_is_whole_comes_last(places: tuple[Path, Home]) -> None:
    driver, home = places
    (driver / "key").mkdir()
    sent_names: list[str] = []
    send = home.files._files.write
    home.files._files.write = lambda name, *rest: (sent_names.append(Path(name).name), send(name, *rest))
    sender = Sender(home, home.root / "key", {})
    written(home.root / "key/c/.digests.json", "{}", OLD + 3)
    written(home.root / "key/c/weights", "w", OLD + 2)
    written(home.root / "key/c/zeroth", "z", OLD + 1)
    sender.look()
    assert sent_names == ["zeroth", "weights", ".digests.json"]


def test_what_is_still_being_written_waits_and_what_grows_is_appended(places: tuple[Path, Home]) -> None:
    driver, home = places
    (driver / "key").mkdir()
    work = home.root / "key"
    sender = Sender(home, work, {})
    work.mkdir()
    (work / "weights").write_text("half of")
    journal = work / "journal.jsonl"
    journal.write_text("one\n")
    sender.look()
    assert not (driver / "key/weights").exists() and (driver / "key/journal.jsonl").read_text() == "one\n"
    inode = (driver / "key/journal.jsonl").stat().st_ino
    with journal.open("a") as file:
        file.write("two, which is longer than a piece\n")
    sender.look()
    assert (driver / "key/journal.jsonl").read_text() == journal.read_text()
    assert (driver / "key/journal.jsonl").stat().st_ino == inode, "a reader continues where it was"
    written(work / "new", "begun anew\n").replace(journal)
    sender.look(final=True)
    assert (driver / "key/journal.jsonl").read_text() == "begun anew\n"
    assert (driver / "key/journal.jsonl").stat().st_ino != inode, "a reader starts over"
    assert (driver / "key/weights").read_text() == "half of"


def test_a_look_that_fails_is_made_again(places: tuple[Path, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    driver, home = places
    (driver / "key").mkdir()
    monkeypatch.setattr(sending, "_LOOK", 0.01)
    written(home.root / "key/weights", "w")
    ended, tried = Event(), []
    send = home.files._files.write

    def at_the_second(*all_of_it: Any) -> None:
        tried.append(all_of_it)
        if len(tried) == 1:
            raise OSError("the network")
        send(*all_of_it)
        ended.set()

    home.files._files.write = at_the_second
    Sender(home, home.root / "key", {}).go_on(ended)
    assert len(tried) == 2 and (driver / "key/weights").read_text() == "w"


def test_one_of_several_jobs_leaves_its_file_and_its_log(places: tuple[Path, Home]) -> None:
    driver, home = places
    work = home.root / "key"
    (driver / "key").mkdir()
    written(work / "shard-1.parquet", "of another job")

    def job(path: Path) -> str:
        written(path, "rows")
        written(work / f"logs/host-{os.getpid()}.log", "said")
        return "done"

    shard = work / "shard-2.parquet"
    assert sent(Sent(job, shard, home, work, (), (shard,))) == "done"
    assert (driver / "key/shard-2.parquet").read_text() == "rows" and not shard.exists()
    assert not (driver / "key/shard-1.parquet").exists() and (work / "shard-1.parquet").exists()
    assert (driver / "key" / f"logs/host-{os.getpid()}.log").read_text() == "said" and (driver / "key/begun").exists()


def test_files_that_a_job_leaves_are_sent_as_they_come_and_none_is_made_twice(
    places: tuple[Path, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_LOOK", 0.01)
    driver, home = places
    work, shards = home.root / "key", tuple(home.root / "key" / f"shard-{n}.parquet" for n in range(3))
    written(driver / "key/shard-0.parquet", "made before a machine was lost")
    made = []

    def job(paths: tuple[Path, ...]) -> None:
        for path in [path for path in paths if not path.exists()]:
            made.append(path.name)
            written(path, "rows")
            end = time.monotonic() + 10
            while path.exists():
                assert time.monotonic() < end, "it is sent while the job is running"
                time.sleep(0.01)

    sent(Sent(job, shards, home, work, (), shards))
    assert made == ["shard-1.parquet", "shard-2.parquet"]
    assert (driver / "key/shard-0.parquet").read_text() == "made before a machine was lost"
    assert [(driver / "key" / path.name).read_text() for path in shards[1:]] == ["rows", "rows"]
    assert not any(path.exists() for path in shards)


def test_what_a_job_left_before_it_failed_is_kept(places: tuple[Path, Home]) -> None:
    driver, home = places
    work, shards = home.root / "key", (home.root / "key/shard-0.parquet", home.root / "key/shard-1.parquet")
    (driver / "key").mkdir()

    def job(paths: tuple[Path, ...]) -> None:
        written(paths[0], "rows")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        sent(Sent(job, shards, home, work, (), shards))
    assert (driver / "key/shard-0.parquet").read_text() == "rows" and not shards[0].exists()
    with pytest.raises(StageError, match=r"shard-1\.parquet disappeared from this machine before it was sent"):
        sent(Sent(lambda paths: None, shards, home, work, (), shards))


def test_who_sees_the_folder_sends_nothing(places: tuple[Path, Home]) -> None:
    _, home = places
    (home.root / LOCKS).mkdir()
    (home.root / LOCKS / home.mark).touch()
    assert sent(Sent(str, 3, Home(home.root, home.mark, None), home.root / "key", ("inputs/a",), ())) == "3"
    assert not (home.root / "key").exists()


def test_a_machine_that_can_have_no_work_folder_is_named(tmp_path: Path) -> None:
    cluster = Two(1, 2, 0, joined=True, machines=((1, 0.0), (1, 0.0)))
    with pytest.raises(InputError, match=r"storage: .*work cannot be the work folder on there: .*storage=FOLDER"):
        open_home(tmp_path / "work", cluster)
    assert list((tmp_path / "work" / LOCKS).iterdir()) == []
    alone = Cluster(1, 1, 0, joined=False, machines=((1, 0.0),))
    assert open_home(tmp_path / "work", alone) is None


class There(Two):
    """Only the other machine."""

    def on_each_machine(
        self, function: Callable[[Any], Any], argument: Any, timeout: float | None = None
    ) -> list[tuple[str, Any]]:
        return [("there", function(argument))]


def test_nothing_is_left_elsewhere_but_where_somebody_is_at_work(
    places: tuple[Path, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, home = places
    monkeypatch.setattr(module, "_DYING", 0.3)
    (driver / LOCKS).mkdir()
    cluster = There(1, 2, 0, joined=True, machines=((1, 0.0), (1, 0.0)))
    written(home.root / "inputs/m/weights", "w")
    close_home(home, cluster)
    assert (home.root / "inputs/m/weights").exists(), "the folder belongs to that machine"
    written(home.root / GUEST, "")
    with home.in_use():
        close_home(home, cluster)
        assert (home.root / "inputs/m/weights").exists()
    close_home(home, cluster)
    assert not home.root.exists()


def test_a_folder_with_something_of_its_own_is_not_taken(tmp_path: Path) -> None:
    own = tmp_path / "work"
    written(own / "key/checkpoints/checkpoint-1/weights", "w")
    assert module._no_room((own, "home-1")) == "the folder already contains other files"
    assert not (own / GUEST).exists()
    (tmp_path / "empty").mkdir()
    for place in ("empty", "new"):
        assert module._no_room((tmp_path / place, "home-1")) is None and (tmp_path / place / GUEST).exists()
        assert module._no_room((tmp_path / place, "home-1")) is None, "it is already used as a guest folder"
    WorkFolder(tmp_path / "new")
    assert not (tmp_path / "new" / GUEST).exists(), "from now on it belongs to this machine"
    (tmp_path / "own" / LOCKS).mkdir(parents=True)
    (tmp_path / "own" / LOCKS / "home-1").touch()
    assert module._no_room((tmp_path / "own", "home-1")) is None, "it is the driver's folder"


def test_what_nobody_waits_for_any_more_is_not_made_again(places: tuple[Path, Home]) -> None:
    driver, home = places
    (driver / "key").mkdir()
    home.send(written(home.root / "key/deep/shard", "rows"))
    assert (driver / "key/deep/shard").read_text() == "rows"
    shutil.rmtree(driver / "key")
    with pytest.raises(FileNotFoundError, match="the stage's work folder is gone"):
        home.send(home.root / "key/deep/shard")
    assert not (driver / "key").exists()


def test_the_journal_of_a_run_that_was_cut_off_is_not_told_again(places: tuple[Path, Home]) -> None:
    driver, home = places
    before = written(driver / "key/journal.jsonl", "1\n").stat().st_ino
    with kept_at_home(home, home.root / "key"):
        pass
    assert (driver / "key/journal.jsonl").stat().st_ino == before
