"""A full disk, distinguished from every other error."""

import errno
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import InputError, StageError
from orchestrator.runs.cluster import connect
from orchestrator.store.client import unreachable
from orchestrator.store.disk_space import disk_full


class RayTaskError(Exception):
    """Wraps a worker's exception, as Ray does."""

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        super().__init__(text)
        self.cause = cause


class OutOfDiskError(Exception): ...


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RayTaskError("...", OSError(errno.ENOSPC, "No space left on device")),
    RayTaskError("OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE runs ...]"),
    Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    OutOfDiskError("The object cannot be created because the local object store is full"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_a_full_disk_is_known_by_what_libraries_say(error: Exception) -> None:
    Path("work").mkdir()
    told = disk_full(error, Path("work/key/checkpoints"))
    free = shutil.disk_usage("work").free / 2**20
    assert told is not None and told.startswith(f"disk full: {Path('work').absolute()} has ") and "MB free" in told
    assert abs(float(told.split(" has ")[1].split(" MB")[0].replace(",", "")) - free) < 2000
    assert disk_full(StageError(told)) == told, "reported again, it is the same line"


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), ValueError("disk"), RuntimeError("CUDA out of memory")]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert disk_full(error, Path()) is None


def test_a_write_that_failed_for_no_reason_given_is_a_full_disk_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:603] . PytorchStreamWriter failed writing file data/0")
    assert disk_full(error, Path()) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    told = disk_full(error, Path())
    assert told is not None and "has 0 MB free" in told


def test_the_fullest_of_several_disks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("work", "store"):
        Path(name).mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if "store" in str(path) else 10**9))
    told = disk_full(OSError(errno.ENOSPC, ""), Path("work"), Path("store"))
    assert told is not None and told.startswith(f"disk full: {Path('store').absolute()} has 0 MB free")


def test_a_store_on_a_full_disk_says_so() -> None:
    said = unreachable("sqlite:////x/mlflow.db", RuntimeError("database or disk is full"))
    assert said.startswith("disk full: ") and "cannot be reached" not in said
    there = unreachable("http://host:5000", RuntimeError("INTERNAL_ERROR: [Errno 28] No space left on device"))
    assert there.startswith("disk full: the MLflow store at http://host:5000 has no room left")
    assert "cannot be reached or written: refused" in unreachable("http://host:5000", ConnectionError("refused"))


def test_ray_that_finds_no_room_for_its_files_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def refuse(**_: object) -> None:
        tried.append(1)
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/session")

    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"^disk full: /\S* has [\d,]+ MB free; .*; or set RAY_TMPDIR to a short path"):
        connect()
    assert len(tried) == 1


def test_mlflow_prints_no_trace_of_what_the_store_client_says_in_a_line() -> None:
    import orchestrator.store.mlflow

    assert orchestrator.store.mlflow.MlflowStore
    assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.ERROR)
