"""Calls of `orch` in processes forked from one that has loaded torch and the like, which saves their import.

Such a call does what the command does, except for how its process starts.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

_HERE = Path(__file__).parents[2]
_STREAMS = ("stdout", "stderr")


@cache
def _loaded() -> ForkServerContext:
    """The process to fork, started once. Python 3.11 passes it no sys.path, and hides failed imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.loaded"])
    with patch.dict(os.environ, {"PYTHONPATH": str(_HERE), "HF_HUB_OFFLINE": "1"}):
        forkserver.ensure_running()
    return context


def forked(folder: Path, arguments: tuple[str, ...], env: dict[str, str]) -> tuple[int | None, str, str]:
    """Call `orch` in a folder: its exit code, stdout and stderr."""
    with tempfile.TemporaryDirectory() as place:
        code = done(_call, folder, arguments, env, place)
        return code, *((Path(place) / name).read_text() for name in _STREAMS)


def done(function: Callable[..., None], *arguments: Any) -> int | None:
    """Call a function in a process; return its exit code. If the test is cut off, so is the process."""
    process = begin(function, *arguments)
    try:
        process.join()
    finally:
        process.kill()
    return process.exitcode


def begin(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start a process that calls a function."""
    process = _loaded().Process(target=_with_libraries, args=(function, *arguments))
    process.start()
    return process


def _with_libraries(function: Callable[..., None], *arguments: Any) -> None:
    assert "tests.support.loaded" in sys.modules, "the libraries could not be preloaded"
    function(*arguments)


def _call(folder: Path, arguments: tuple[str, ...], env: dict[str, str], place: str) -> None:
    for number, name in enumerate(_STREAMS, 1):
        with (Path(place) / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # the folder is looked up again
    sys.argv = ["orch", *arguments]
    sys.path[0] = str(folder)
    from orchestrator.cli import main

    main()
