"""Starting Ray on a machine that is too busy for it."""

import subprocess
from typing import Any

import pytest
import ray

from orchestrator.errors import InputError, OrchError
from orchestrator.runs.cluster import connect


def test_a_start_that_takes_too_long_is_tried_again_and_then_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, Ray starts processes and then raises a plain Exception."""
    begun: list[subprocess.Popen[bytes]] = []

    def too_slow(**_: Any) -> None:
        begun.append(subprocess.Popen(["sleep", "600"]))
        raise Exception("The current node timed out during startup.\nThis could happen because")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", too_slow)
    notices: list[str] = []
    with pytest.raises(OrchError) as raised:
        connect(notices.append)
    said = str(raised.value)
    assert said.startswith("Ray did not start on this machine in 3 tries: The current node timed out during startup. ")
    assert "\n" not in said and raised.value.exit_code == 1
    assert notices == ["Ray did not start, trying again (2 left)", "Ray did not start, trying again (1 left)"]
    assert len(begun) == 3
    for process in begun:
        process.wait(timeout=0.1)


def test_a_folder_that_ray_cannot_use_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Any] = []

    def refuses(**options: Any) -> None:
        tries.append(options)
        raise PermissionError(13, "Permission denied", "/nowhere")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(InputError, match=r"Ray cannot be started with its files in .*Permission denied.*RAY_TMPDIR"):
        connect()
    assert len(tries) == 1
