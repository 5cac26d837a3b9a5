"""Run code from a user's own file so that its side effects are contained.

Any exception is reported with its file and line, even if the code exits the program or raises KeyboardInterrupt itself.
Its output goes to stderr, as stdout may be a JSON object. This module must not know what a task is.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType, TracebackType

from orchestrator.errors import DataError, OrchError
from orchestrator.tasks.own_modules import OwnModules

_LONGEST = 300
"""Maximum length of an exception's message, in characters."""


def run_module(name: str, file: str, content: bytes, own: OwnModules) -> ModuleType:
    """Run a file's content as the module `name`. No bytecode file is read or written.

    Imports from its folder are resolved and recorded by `own`.

    Raises:
        DataError: it cannot be run; with the file, the line and the exception.
    """
    place = str(Path(file).absolute())
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with contained(file, "cannot be imported"), own.importable():
            exec(compile(content, place, "exec", dont_inherit=True), module.__dict__)
        own.check_imports(file, content)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextlib.contextmanager
def contained(file: str, what: str) -> Iterator[None]:
    """A context for running code of `file`; `what` describes the failure if the code raises.

    Raises:
        DataError: it raised anything, even SystemExit. Errors already meant for the user and Ctrl-C pass through.
    """
    with _ctrl_c() as pressed, _prints_to_stderr():
        try:
            yield
        except OrchError:
            raise
        except BaseException as error:  # a user's code may raise anything
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            raise DataError(f"{_place(file, error)}: {what}: {_said(error)}") from error


def _place(file: str, error: BaseException) -> str:
    """The file, and the innermost of its lines in the traceback."""
    place = str(Path(file).absolute())
    line = None
    if isinstance(error, SyntaxError) and error.filename == place:
        line = error.lineno
    trace: TracebackType | None = error.__traceback__
    while trace is not None and not isinstance(error, SyntaxError):
        if trace.tb_frame.f_code.co_filename == place:
            line = trace.tb_lineno
        trace = trace.tb_next
    return file if line is None else f"{file}:{line}"


def _said(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())[:_LONGEST]
    except Exception:  # its message is the user's code as well
        text = "(its message cannot be read)"
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SystemExit):
        told += '; it ends the program: take that out, or put it under if __name__ == "__main__"'
    return told


@contextlib.contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """A list that is filled when Ctrl-C is pressed: if it is empty, the code itself raised the KeyboardInterrupt."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed
        return

    def heed(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, heed)
    try:
        yield pressed
    finally:
        if signal.getsignal(signal.SIGINT) is heed:  # the code may have installed its own
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _prints_to_stderr() -> Iterator[None]:
    """Redirect Python's stdout and that of child processes to stderr."""
    kept = None
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no such stream: nothing to keep clean
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
