"""Ray workers: those without a GPU stay warm; those with one end after their last call.

That leaves the GPU empty. A worker may also move on to calls that load the same.
Ray counts declared GPUs, so none is needed here.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray

from orchestrator.errors import DataError, StageError
from orchestrator.runs import preflight as remote_check
from orchestrator.runs import spare
from orchestrator.runs.cluster import Cluster, connect, disconnect
from orchestrator.runs.crew import Crew
from orchestrator.runs.spare import end_old_spare, end_spare


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two GPUs, and enough cores for one call at a time on each."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2, "GPU": 2}')
    patch.delenv("RAY_ADDRESS", raising=False)
    yield connect()
    disconnect()
    patch.undo()


def who(_: Any) -> int:
    return os.getpid()


def with_child(_: Any) -> tuple[int, int]:
    """The worker, and a process it starts that outlives the call, as vLLM's engine does."""
    return os.getpid(), subprocess.Popen(["sleep", "600"]).pid


def dies_at_first(path: Path) -> int:
    """End the worker silently, once."""
    if not path.exists():
        path.touch()
        os._exit(1)
    return os.getpid()


def dies(_: Any) -> None:
    os._exit(1)


def fails(_: Any) -> None:
    raise ValueError("no such thing")


def fails_as(path: Path) -> None:
    path.write_text(str(os.getpid()))
    raise ValueError("no such thing")


def refuses(_: Any) -> None:
    raise DataError("its own words")


def waits(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(600)


def ended(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not (gone := not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE):
        if time.monotonic() >= end:
            break
        time.sleep(0.05)
    return gone


def gpus_seen(_: Any) -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def results(crew: Crew) -> list[Any]:
    """The results of all calls, in order."""
    found = {}
    while crew.pending:
        ready, _ = ray.wait(list(crew.pending), timeout=300)
        assert ready, "no call ended"
        if (taken := crew.take(ready[0])) is None:  # a worker now has its GPU
            continue
        place, done = taken
        assert done.ended >= done.began
        found[place] = done.result
    return [found[place] for place in sorted(found)]


def test_the_cluster_is_what_ray_was_told(cluster: Cluster) -> None:
    assert (cluster.cores, cluster.gpus, cluster.joined) == (2, 2, False)


def test_workers_without_a_gpu_stay(cluster: Cluster) -> None:
    first = set(results(cluster.submit([(who, None)] * 4, 1, 0, 0)))
    assert not any(ended(pid, 0) for pid in first)
    assert set(results(cluster.submit([(who, None)] * 4, 1, 0, 0))) & first


def test_a_gpus_worker_keeps_what_it_loaded_for_its_calls_and_ends_with_the_last(cluster: Cluster) -> None:
    made = results(cluster.submit([(with_child, None)] * 6, 1, 1, 0))
    workers = [worker for worker, _ in made]
    assert 1 <= len(set(workers)) <= 2, "at most one per GPU"
    assert all(ended(pid) for pair in made for pid in pair), "and every process they started"
    again = results(cluster.submit([(who, None)], 1, 2, 0))
    assert len(again) == 1 and again[0] not in workers, "both GPUs are free"
    assert results(cluster.submit([], 1, 1, 0)) == []


def waits_for(argument: tuple[Path, int]) -> int:
    """Wait until the given number of others are done."""
    folder, others = argument
    end = time.monotonic() + 300
    while len(list(folder.iterdir())) < others:
        assert time.monotonic() < end, "the others wait for this one"
        time.sleep(0.05)
    return os.getpid()


def leaves_a_mark(path: Path) -> int:
    path.touch()
    return os.getpid()


def test_a_worker_that_is_free_takes_the_next_call_and_waits_for_no_other(cluster: Cluster, tmp_path: Path) -> None:
    calls: list[Any] = [(waits_for, (tmp_path, 5)), *((leaves_a_mark, tmp_path / str(n)) for n in range(5))]
    slow, *quick = results(cluster.submit(calls, 1, 1, 0))
    assert len(set(quick)) == 1 and slow not in quick


@pytest.mark.parametrize("gpus", [0, 1])
def test_few_calls_are_handed_over_at_a_time(cluster: Cluster, gpus: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runs.cluster._IN_FLIGHT", 3)
    crew = cluster.submit([(who, None)] * 9, 1, gpus, 0)
    assert len(crew.pending) == (2 if gpus else 4) and crew.left == 9
    assert len(results(crew)) == 9 and crew.left == 0


def test_a_workers_memory_counts_that_of_its_judges(cluster: Cluster) -> None:
    crew = cluster.submit([(judges_with, 200)], 1, 0, 0)
    taken = crew.take(next(iter(crew.pending)))
    assert taken is not None
    done = taken[1]
    assert done.peak_mb is not None and 180 < done.peak_mb - done.result < 280


def judges_with(megabytes: int) -> float:
    """Start a process that holds this much memory as long as this one lives; return this one's memory in megabytes."""
    code = f"import sys; held = b'x' * {megabytes} * 10**6; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _children.append(child)
    assert child.stdout is not None
    child.stdout.readline()
    return psutil.Process().memory_info().rss / 1e6


_children: list[subprocess.Popen[bytes]] = []


def meets(folder: Path) -> str | None:
    """Wait until another call is running; return the GPUs that this one sees."""
    (folder / str(os.getpid())).touch()
    waits_for((folder, 2))
    return gpus_seen(None)


def test_a_call_sees_the_gpus_that_it_was_given_and_no_others(cluster: Cluster, tmp_path: Path) -> None:
    assert results(cluster.submit([(gpus_seen, None)] * 2, 1, 0, 0)) == ["", ""]
    both: list[Any] = [(meets, tmp_path), (meets, tmp_path)]
    assert set(results(cluster.submit(both, 1, 1, 0))) == {"0", "1"}


def test_shares_that_do_not_fit_at_once_are_done_in_turn(cluster: Cluster) -> None:
    assert len(set(results(cluster.submit([(who, None)] * 4, 2, 1, 0)))) == 1, "one worker, which has all the cores"


def test_where_gpus_are_taken_a_worker_that_has_one_makes_all_calls(cluster: Cluster, tmp_path: Path) -> None:
    busy = cluster.submit([(waits_for, (tmp_path, 3))], 1, 1, 0)
    [ready] = cluster.wait(busy.pending, 60)
    assert busy.take(ready) is None, "it has its GPU before the others ask for theirs"
    made = results(cluster.submit([(leaves_a_mark, tmp_path / str(n)) for n in range(3)], 1, 1, 0))
    assert len(set(made)) == 1 and len(results(busy)) == 1, "no worker is started for each call"


def only(crew: Crew) -> Any:
    [made] = results(crew)
    return made


def test_what_a_worker_has_loaded_serves_the_next_crew_that_loads_the_same(cluster: Cluster) -> None:
    first = set(results(cluster.submit([(who, None)] * 2, 1, 1, 0, load="base")))
    assert only(cluster.submit([(who, None)], 1, 1, 0, load="base")) in first
    other = only(cluster.submit([(who, None)], 1, 1, 0, load="another"))
    assert other not in first and all(ended(pid) for pid in first), "their GPUs were freed for it"
    half = only(cluster.submit([(who, None)], 1, 0.5, 0, load="another"))
    assert half != other and ended(other), "another share of a GPU needs another worker"
    assert only(cluster.submit([(who, None)], 1, 1, 0)) != half and ended(half)
    end_spare()


@pytest.mark.parametrize("how", [{"cpus": 2, "gpus": 0}, {"cpus": 0, "gpus": 0, "starts_workers": True}])
def test_a_worker_is_not_kept_where_something_else_may_need_its_share(cluster: Cluster, how: Any) -> None:
    kept = only(cluster.submit([(who, None)], 1, 1, 0, load="base"))
    results(cluster.submit([(who, None)], 0, 0, 0))
    cluster.submit([], 1, 1, 0)
    assert not ended(kept, 0), "neither needs any"
    assert only(cluster.submit([(who, None)], retries=0, **how)) != kept
    assert ended(kept)


def test_a_worker_is_kept_for_a_moment_only(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = only(cluster.submit([(who, None)], 1, 1, 0, load="base"))
    end_old_spare()
    assert not ended(kept, 0)
    monkeypatch.setattr(spare, "_KEPT", -1.0)
    end_old_spare()
    assert ended(kept)


@pytest.mark.parametrize(("load", "same"), [("base", True), ("another", False)])
def test_who_waits_for_a_gpu_gets_it_with_what_is_loaded_or_empty(cluster: Cluster, load: str, same: bool) -> None:
    one, other = (cluster.submit([(who, None)] * 2, 1, 2, 0, load=loads) for loads in ("base", load))
    made, began = set(results(one)), time.monotonic()
    assert (set(results(other)) == made) == same
    assert time.monotonic() - began < spare._KEPT, "it does not wait for a spare worker to be ended"
    end_spare()


def test_a_worker_is_not_kept_while_calls_wait_for_cores(cluster: Cluster) -> None:
    crew = cluster.submit([(who, None)], 1, 1, 0, load="base")
    others = cluster.submit([(who, None)] * 2, 1, 0, 0)
    assert ended(only(crew)) and len(results(others)) == 2


def test_a_call_that_cannot_be_sent_fails_its_own_crew(cluster: Cluster) -> None:
    one = cluster.submit([(who, None)], 1, 2, 0, load="base")
    other = cluster.submit([(who, threading.Lock())], 1, 2, 0, load="base")
    worker = only(one)
    with pytest.raises(TypeError, match="serialize"):
        results(other)
    assert ended(worker) and only(cluster.submit([(who, None)], 1, 2, 0)), "the GPUs are free"


def test_a_worker_whose_call_failed_is_not_kept(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ray.exceptions.RayTaskError):
        results(cluster.submit([(fails_as, tmp_path / "failed")], 1, 1, 0, load="base"))
    assert ended(int((tmp_path / "failed").read_text()))


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_worker_that_dies_is_replaced(
    cluster: Cluster, tmp_path: Path, gpus: float, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = [(dies_at_first, tmp_path / "once"), (who, None), (who, None)]
    assert len(results(cluster.submit(calls, 1, gpus, 2))) == 3
    with pytest.raises(ray.exceptions.RayError) as died:
        results(cluster.submit([(dies, None)], 1, gpus, 0))
    assert "out of memory, or killed" in remote_check.one_line(died.value)
    time.sleep(1)  # Ray's own messages come later
    assert "raylet" not in capfd.readouterr().out


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_call_that_fails_says_why(cluster: Cluster, gpus: float) -> None:
    with pytest.raises(ray.exceptions.RayTaskError) as failed:
        results(cluster.submit([(fails, None)], 1, gpus, 0))
    assert remote_check.one_line(failed.value) == "ValueError: no such thing"


@pytest.mark.parametrize("gpus", [0, 1])
def test_what_is_stopped_ends_at_once(cluster: Cluster, tmp_path: Path, gpus: float) -> None:
    """Two calls that each need both cores: Ray starts either one, and the other never starts."""
    crew = cluster.submit([(waits, tmp_path / name) for name in ("one", "other")], 2, gpus, 2)
    try:
        end = time.monotonic() + 300
        while not (began := [path for path in tmp_path.iterdir() if path.read_text()]):
            assert time.monotonic() < end, "no call began"
            for reference in ray.wait(crew.pending, timeout=0.05)[0]:
                assert crew.take(reference) is None
    finally:
        crew.stop()
    assert ended(int(began[0].read_text())) and crew.pending == []
    assert len(results(cluster.submit([(who, None)], 2, gpus, 0))) == 1, "its cores are free"
    assert list(tmp_path.iterdir()) == began


@pytest.mark.parametrize(
    ("check", "error", "said"),
    [
        (dies, StageError, "the setup check could not run: its worker process died: out of memory"),
        (fails, StageError, "the setup check could not run: ValueError: no such thing"),
        (refuses, DataError, "its own words"),
    ],
)
def test_a_check_that_cannot_be_made_is_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, check: Any, error: type[Exception], said: str
) -> None:
    monkeypatch.setattr(remote_check, "_check", check)
    plan: Any = SimpleNamespace(recipe=SimpleNamespace(task=SimpleNamespace(read_already=dict)))
    with pytest.raises(error) as raised:
        remote_check.checked(plan, Path("work"), cluster)
    assert str(raised.value).startswith(said) and "\n" not in str(raised.value)
