"""Runs that are killed or interrupted: nothing finished is lost, and the results are the same."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import SMALL, Called, call, command, environment
from tests.support.store import artifact, children, client, rows, runs

Run = tuple[Path, Called]


def start(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
    """`orch` in its own process group, as a shell starts it: it heeds Ctrl-C even if these tests do not."""
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment() | env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < end, "it did not get that far"
        time.sleep(0.02)


def key_of(stage: str, folder: Path) -> str:
    plan = call(folder, "plan", str(SMALL), "--json").json
    return next(str(s["key"]) for s in plan["stages"] if s["name"] == stage)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def gone(processes: list[psutil.Process], seconds: float = 30) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_killed_at_any_moment_it_ends_as_if_undisturbed(tmp_path: Path, small_run: Run) -> None:
    """Killed while it trains; test_seeds kills it while it samples."""
    work = tmp_path / "mlruns" / "work"
    keys = {stage: key_of(stage, small_run[0]) for stage in ("sft", "grpo")}
    moments: list[Callable[[], bool]] = [
        lambda: any((work / keys["sft"] / "checkpoints").glob("checkpoint-*/trainer_state.json")),
        lambda: any((work / keys["grpo"] / "checkpoints").glob("checkpoint-*/trainer_state.json")),
    ]
    for moment in moments:
        process = start(tmp_path, "run", str(SMALL))
        wait_for(moment, process)
        everyone = family(process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert gone(everyone), "processes outlived the run"
    called = call(tmp_path, "run", str(SMALL), "--json")
    assert called.code == 0, called.err
    assert called.json["models"] == small_run[1].json["models"]
    ours = children(tmp_path, called.json["run_id"])
    theirs = children(small_run[0], small_run[1].json["run_id"])
    assert rows(origin(tmp_path, ours["samples"]), "completions.parquet") == rows(
        theirs["samples"], "completions.parquet"
    )
    for model in ("sft", "rft", "grpo"):
        name = "model/adapter_model.safetensors"
        assert (
            artifact(origin(tmp_path, ours[model]), name).read_bytes() == artifact(theirs[model], name).read_bytes()
        ), model
    assert ours["grpo"].info.status == "FINISHED"
    # the killed runs are distinct from the finished one, and no run is left open
    assert [r.info.status for r in runs(tmp_path, "tags.`orch.verb` = 'run'")] == ["KILLED"] * 2 + ["FINISHED"]
    assert not runs(tmp_path, "attributes.status = 'RUNNING'")


def origin(folder: Path, run: Any) -> Any:
    """The run that holds a stage's artifacts: itself, or the one it was reused from."""
    return client(folder).get_run(run.data.tags.get("orch.cached_from", run.info.run_id))


def test_ctrl_c_leaves_no_worker_and_marks_the_run(tmp_path: Path, small_run: Run) -> None:
    journal = tmp_path / "mlruns" / "work" / key_of("sft", small_run[0]) / "journal.jsonl"
    process = start(tmp_path, "run", str(SMALL))
    wait_for(journal.exists, process)
    everyone = family(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=300) == 130
    assert gone(everyone), "processes outlived the run"
    assert "interrupted" in (tmp_path / "stderr").read_text()
    statuses = {r.info.run_name: r.info.status for r in runs(tmp_path)}
    assert statuses["small"] == statuses["sft"] == "KILLED"
