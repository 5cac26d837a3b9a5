"""Calls of `orch` in processes forked from one that has torch and the like loaded: each spares their import.

What such a call does is what the command does, but for how a process begins.
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
    """The process that is forked, started once. Python 3.11 hands it no sys.path, and hides what it cannot load."""
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
    """Have a process do this: its exit code. Where the test is cut off before, so is the process."""
    process = begin(function, *arguments)
    try:
        process.join()
    finally:
        process.kill()
    return process.exitcode


def begin(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that does this, under way."""
    process = _loaded().Process(target=_with_libraries, args=(function, *arguments))
    process.start()
    return process


def _with_libraries(function: Callable[..., None], *arguments: Any) -> None:
    assert "tests.support.loaded" in sys.modules, "the libraries could not be loaded beforehand"
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
