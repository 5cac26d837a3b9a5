"""Blame: the place in a user's own code where something happened. Knows nothing about judges."""

import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

_NOT_THE_USERS = (
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)
_MOST = 300
"""Maximum number of characters kept of an exception's message."""


def blamed(error: BaseException) -> str:
    """An exception's type, message and place in the user's code: `KeyError: 'x' (mine.py:12)`."""
    try:
        message = " ".join(str(error).split())[:_MOST]
    except Exception:  # its __str__ may be the user's code too
        message = ""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    place = _innermost(reversed(frames))
    if not place and frames and not frames[-1][0].f_code.co_filename.startswith(_NOT_THE_USERS[0]):
        place = _place(*frames[-1])  # in a library
    told = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{told} ({place})" if place else told


def here() -> str:
    """The innermost place in the user's code on the call stack; empty if there is none."""
    return _innermost(traceback.walk_stack(sys._getframe(1)))


def _innermost(frames: Iterable[tuple[FrameType, int]]) -> str:
    return next((_place(frame, line) for frame, line in frames if _is_the_users(frame)), "")


def _is_the_users(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith(_NOT_THE_USERS)


def _place(frame: FrameType, line: int) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{line}"
