"""Whatever a worker writes, by any route, is kept in its bounded file, even if the worker is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.runs import worker_log
from orchestrator.runs.worker_log import FOLDER, KEPT, forget_log, read_log
from tests.conftest import REPOSITORY

WORKER = """\
import logging, os, subprocess, sys, time, warnings
from pathlib import Path
from orchestrator.errors import StageError
from orchestrator.runs.worker_log import Logged, logged

def job(argument):
    {job}

print("before")
for _ in range({times}):
    logged(Logged(job, None, Path("work"), "sft, job 1 of 1"))
print("after")
"""


def worked(job: str, times: int = 1, folder: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a job in a process, as a worker does."""
    if folder:
        Path("work").mkdir(exist_ok=True)
    script = WORKER.format(job=job.replace("\n", "\n    "), times=times)
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)


EVERY_WAY = """\
print("printed")
print("to stderr", file=sys.stderr)
os.write(1, b"past Python\\n")
subprocess.run(["echo", "by a child"])
logging.getLogger("mine").info("told to logging")
warnings.warn("be warned")
"""


def test_whatever_a_job_writes_is_kept_and_nothing_else() -> None:
    done = worked(EVERY_WAY, times=2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")
    log = read_log(Path("work"))
    for line in ("printed", "to stderr", "past Python", "by a child", "INFO mine: told to logging"):
        assert log.count(line) == 2, log
    assert log.count("INFO orch: sft, job 1 of 1: started") == log.count(": done after ") == 2
    assert "before" not in log and "be warned" in log


@pytest.mark.parametrize(
    ("raised", "trace"),
    [
        ("raise ValueError('no such thing')", True),
        ("raise StageError('lower the rate')", False),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise StageError('lower it') from error", True),
    ],
)
def test_a_job_that_raises_leaves_its_traceback_unless_its_error_was_foreseen(raised: str, trace: bool) -> None:
    done = worked(raised)
    log = read_log(Path("work"))
    assert done.returncode == 1 and "sft, job 1 of 1: failed" in log
    assert ("Traceback (most recent call last)" in log) is trace
    assert "no such thing" in log or "lower" in log


def test_what_a_killed_worker_wrote_is_there() -> None:
    assert worked("print('so far')\nos.kill(os.getpid(), 9)").returncode == -9
    assert "so far" in read_log(Path("work"))


def test_a_job_goes_on_where_no_file_can_be_written() -> None:
    done = worked("print('said')", folder=False)
    assert done.returncode == 0 and "said" in done.stdout and read_log(Path("work")) == ""


def test_a_log_that_grows_without_end_keeps_its_last_part() -> None:
    worked("for n in range(60):\n    print('x' * 99_990, n)\ntime.sleep(1.5)\nprint('last')")
    size = sum(file.stat().st_size for file in Path("work", FOLDER).iterdir())
    log = read_log(Path("work"))
    assert size < 2 * KEPT + 200_000 and len(log) < KEPT + 100
    assert log.startswith("[earlier output is not kept]\n") and " 59\nlast\n" in log


def test_the_worker_that_wrote_last_stands_last_and_all_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_log, "KEPT", 100)
    folder = Path("work", FOLDER)
    folder.mkdir(parents=True)
    for age, name in enumerate("cab"):
        (folder / f"{name}.log").write_text(f"{name}\n" * 30)
        os.utime(folder / f"{name}.log", times=(time.time() - age,) * 2)
    log = read_log(Path("work"))
    assert log.startswith("[earlier output is not kept]\n") and log.endswith("a\n" + "c\n" * 30) and "b" not in log
    forget_log(Path("work"))
    assert not folder.exists() and read_log(Path("work")) == ""


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    folder = Path("work", FOLDER)
    folder.mkdir(parents=True)
    (folder / "a.log").write_bytes(b"  0%\r 50%\r100%\r\nwindows\r\nbroken \xff\x1b[31m\n")
    assert read_log(Path("work")) == "100%\nwindows\nbroken \ufffd\x1b[31m\n"
