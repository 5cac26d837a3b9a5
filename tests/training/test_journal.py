"""The journal: what a job reports while it runs, through crashes and restarts."""

from pathlib import Path

import pytest

from orchestrator.training.journal import NAME, Journal, Tail, read


def steps(path: Path) -> list[int]:
    return [record["step"] for record in read(path)]


def test_progress_and_curves_are_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(0)
    journal.metrics(5, {"loss": 0.5})
    journal.progress(10, 10)
    first, second = read(tmp_path / NAME)
    assert (first["step"], first["metrics"]) == (5, {"loss": 0.5}) and first["time"] > 1_600_000_000_000
    assert second == {"step": 10, "total": 10}


def test_progress_is_written_now_and_then_and_always_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    journal = Journal(tmp_path)
    for step in range(1, 11):
        journal.progress(step, 10)
        now[0] += 0.1
    assert steps(tmp_path / NAME) == [1, 4, 7, 10]


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / NAME) == []
    assert list(Tail(tmp_path / NAME).new()) == []


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text('{"step": 1, "total": 3}\n{"step": 2, "tot')
    assert steps(path) == [1]
    Journal(tmp_path).start(5)
    assert path.read_text() == '{"step": 1, "total": 3}\n', "and it is removed when the job starts again"


def test_a_restart_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (5, 10, 15, 20):
        journal.metrics(step, {"loss": 1.0})
    again = Journal(tmp_path)
    again.start(10)
    assert steps(tmp_path / NAME) == [5, 10]
    again.metrics(15, {"loss": 2.0})
    assert [r["metrics"]["loss"] for r in read(tmp_path / NAME)] == [1.0, 1.0, 2.0]
    again.start(0)
    assert steps(tmp_path / NAME) == []
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_tail_gives_each_record_once(tmp_path: Path) -> None:
    tail, journal = Tail(tmp_path / NAME), Journal(tmp_path)
    assert list(tail.new()) == []
    journal.metrics(1, {"loss": 1.0})
    assert [r["step"] for r in tail.new()] == [1]
    assert list(tail.new()) == []
    with (tmp_path / NAME).open("a") as file:
        file.write('{"step": 2, ')
        file.flush()
        assert list(tail.new()) == [], "half a line is not read yet"
        file.write('"total": 9}\n')
    assert list(tail.new()) == [{"step": 2, "total": 9}]


@pytest.mark.parametrize("written_since", [0, 1, 20])
def test_a_tail_starts_over_when_the_job_does(tmp_path: Path, written_since: int) -> None:
    """Even if the new file has outgrown the old one before the tail looks again."""
    journal = Journal(tmp_path)
    for step in range(1, 6):
        journal.metrics(step, {"loss": 1.0})
    tail = Tail(tmp_path / NAME)
    assert len(list(tail.new())) == 5
    again = Journal(tmp_path)
    again.start(2)
    for step in range(3, 3 + written_since):
        again.metrics(step, {"a much longer name": 123456.789})
    assert [r["step"] for r in tail.new()] == [1, 2, *range(3, 3 + written_since)]
    assert list(tail.new()) == []


def test_what_an_earlier_run_has_left_is_not_told_again(tmp_path: Path) -> None:
    """It may describe steps that are repeated; the job reports how far it is when it begins."""
    journal = Journal(tmp_path)
    for step in range(1, 30):
        journal.metrics(step, {"loss": 1.0})
    tail = Tail.of_a_job(tmp_path / NAME)
    assert list(tail.new()) == []
    again = Journal(tmp_path)
    again.start(10)
    assert [r["step"] for r in tail.new()] == [*range(1, 11)]
    again.metrics(11, {"loss": 1.0})
    assert [r["step"] for r in tail.new()] == [11]
    new = Tail.of_a_job(tmp_path / "none" / NAME)
    assert list(new.new()) == []
