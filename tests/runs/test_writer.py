"""The queue of running stages' writes: order, errors, and that nothing waits for a slow store."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RefusalError, TrackingError
from orchestrator.runs.writer import Writer
from orchestrator.store.memory import MemoryStore

REQUEST = 0.04
"""Duration of a request, in seconds."""
RUN = "the run"


class SlowStore(MemoryStore):
    """Each write takes as long as a request to a distant server, and raises `error` if it is set."""

    error: Exception | None = None

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        time.sleep(REQUEST)
        if self.error is not None:
            raise self.error
        super().log_points(run_id, records)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore(Path("store"))


@pytest.fixture
def run_id(store: SlowStore) -> str:
    return store.start(store.experiment("test"), "sft", {}, {})


def point(step: int) -> list[dict[str, Any]]:
    return [{"metrics": {"loss": float(step)}, "step": step, "time": step}]


def gate(writer: Writer) -> Callable[[], None]:
    """Keep the writer busy until the returned function is called."""
    opened = threading.Event()
    writer.submit(RUN, "gate", lambda: opened.wait(30))
    return opened.set


def test_a_slow_store_is_not_waited_for_and_nothing_is_lost_or_reordered(store: SlowStore, run_id: str) -> None:
    writer, begun = Writer(), time.monotonic()
    for step in range(25):
        writer.submit(RUN, "sft", lambda step=step: store.log_points(run_id, point(step)))  # type: ignore[misc]
        assert not writer.is_written("sft")
    assert time.monotonic() - begun < 5 * REQUEST
    assert writer.flush() and writer.is_written("sft")
    assert time.monotonic() - begun >= 25 * REQUEST
    assert store.history(run_id, "loss") == [(step, float(step)) for step in range(25)]


@pytest.mark.parametrize("error", [RefusalError("not taken"), OSError(2, "No such file"), ValueError("why")])
def test_what_goes_wrong_with_one_stage_is_its_own_and_nothing_more_of_it_is_written(error: Exception) -> None:
    writer, written = Writer(), []
    release = gate(writer)

    def fail() -> None:
        raise error

    writer.submit(RUN, "sft", lambda: written.append("points"))
    writer.submit(RUN, "sft", fail)
    writer.submit(RUN, "sft", lambda: written.append("key"))
    writer.submit(RUN, "other", lambda: written.append("other"))
    release()
    assert writer.flush() and written == ["points", "other"]
    with pytest.raises(type(error)):
        writer.is_written("sft")
    writer.check()
    assert writer.is_written("sft") and writer.is_written("other")
    writer.submit(RUN, "sft", lambda: written.append("why it failed"))
    assert writer.flush() and written[-1] == "why it failed"


def test_what_a_stage_has_queued_behind_its_error_is_dropped_with_it() -> None:
    writer, written, entered = Writer(), [], threading.Event()
    opened = threading.Event()

    def fail() -> None:
        raise ValueError("why")

    def busy() -> None:
        entered.set()
        opened.wait(30)

    for owner, job in (("sft", fail), ("other", busy), ("sft", lambda: written.append("key"))):
        writer.submit(RUN, owner, job)
    assert entered.wait(30)
    with pytest.raises(ValueError, match="why"):
        writer.is_written("sft")
    opened.set()
    assert writer.flush() and written == []


@pytest.mark.parametrize("error", [TrackingError("the store is away"), KeyboardInterrupt()])
def test_a_store_that_is_gone_ends_all_writing_and_is_told_of(error: BaseException) -> None:
    writer, written = Writer(), []
    release = gate(writer)

    def fail() -> None:
        raise error

    writer.submit(RUN, "sft", fail)
    writer.submit(RUN, "other", lambda: written.append("other"))
    release()
    for ask in (writer.flush, writer.check, lambda: writer.is_written("other"), lambda: writer.submit(RUN, "a", fail)):
        with pytest.raises(type(error)):
            ask()
    assert written == []


def test_what_fails_in_the_store_is_raised_as_it_is(store: SlowStore, run_id: str) -> None:
    store.error = TrackingError("the MLflow store at x cannot be reached or written: why")
    writer = Writer()
    writer.submit(RUN, "sft", lambda: store.log_points(run_id, point(1)))
    with pytest.raises(TrackingError, match=r"^the MLflow store at x cannot be reached or written: why$"):
        writer.flush()


def test_a_writer_that_is_closed_drops_the_rest_and_can_be_used_again() -> None:
    writer, written = Writer(), []
    release = gate(writer)
    writer.submit(RUN, "sft", lambda: written.append("lost"))
    assert not writer.flush(timeout=0.01)
    writer.close()
    release()
    assert writer.flush() and writer.is_written("sft") and written == []
    writer.submit(RUN, "sft", lambda: written.append("new"))
    assert writer.flush() and written == ["new"]


def test_several_runs_are_written_side_by_side_each_in_its_order() -> None:
    """Three threads meet in jobs of three runs; none takes a second job of a run that another thread is writing."""
    writer, meeting = Writer(threads=3), threading.Barrier(3)
    written: dict[str, list[int]] = {name: [] for name in "abc"}
    for place in range(50):
        for run, found in written.items():
            writer.submit(run, "sft" if place % 2 else "evaluate", lambda found=found, place=place: found.append(place))  # type: ignore[misc]
    for run in written:
        writer.submit(run, "sft", lambda: meeting.wait(30))
    assert writer.flush()
    assert all(found == [*range(50)] for found in written.values())


def test_a_store_that_is_gone_ends_the_writing_of_all_runs() -> None:
    writer, written, entered, opened = Writer(threads=2), [], threading.Event(), threading.Event()

    def busy() -> None:
        entered.set()
        opened.wait(30)

    def fail() -> None:
        raise TrackingError("the store is away")

    writer.submit("a", "sft", busy)
    writer.submit("a", "sft", lambda: written.append("a"))
    assert entered.wait(30)
    writer.submit("b", "sft", fail)
    with pytest.raises(TrackingError):
        writer.flush()
    opened.set()
    with pytest.raises(TrackingError):
        writer.submit("c", "sft", lambda: written.append("c"))
    assert written == []
