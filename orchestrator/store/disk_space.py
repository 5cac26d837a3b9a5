"""Tells a full disk apart from every other error, and names it. Knows no store, no worker and no library's classes.

Libraries report a full disk in their own ways, many without its error number. Such errors are recognized by their
texts, or, for a failed write without a reason, by the disk having no space left.
"""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_TEXTS = (
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
    "not enough space on the disk",
    "(os error 28)",
    "outofdiskerror",
)
_WRITES = (
    "enforce fail at inline_container",  # torch.save: "unexpected pos 448 vs 342", and "PytorchStreamWriter failed"
    "pytorchstreamwriter failed writing",
    "failed to write",
    "file write failed",
    "file size limit exceeded",
)
"""What libraries report for a write that failed for any reason."""
_NO_ROOM = 4 * 2**20
"""Free bytes below which a failed write is taken to have failed for lack of space."""
PREFIX = "disk full: "


def disk_full(error: BaseException, *folders: Path) -> str | None:
    """The message to the user if an error came from a full disk: the fullest of these folders and its free space.

    None if the error had another cause.
    """
    told = str(error)
    if told.startswith(PREFIX):
        return told
    chain = list(_causes(error))
    text = "\n".join(str(one) for one in chain).lower()
    named = [Path(one.filename) for one in chain if isinstance(one, OSError) and isinstance(one.filename, str)]
    certain = any(isinstance(one, OSError) and one.errno in _NUMBERS for one in chain)
    certain = certain or any(known in text for known in _TEXTS) or "OutOfDiskError" in type(error).__name__
    places = {_there(folder): _free(folder) for folder in (*named, *folders)}
    fullest = min(places, key=lambda place: places[place], default=None)
    if fullest is None:
        return f"{PREFIX}no space was left on the device; make room and run the same command again" if certain else None
    if not certain and not (any(known in text for known in _WRITES) and places[fullest] < _NO_ROOM):
        return None
    return (
        f"{PREFIX}{fullest} has {places[fullest] / 2**20:,.0f} MB free; make room (`orch clean` lists what is no "
        "longer needed), then run the same command again: it continues from what was finished"
    )


def _causes(error: BaseException) -> Iterable[BaseException]:
    """An error and everything that caused it; Ray's wrapper holds the worker's own error under `cause`."""
    queue: list[BaseException | None] = [error]
    seen: set[int] = set()
    while queue:
        one = queue.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            queue += [getattr(one, "cause", None), one.__cause__, one.__context__]


def _there(folder: Path) -> Path:
    """The folder itself, or its nearest existing parent."""
    folder = folder.absolute()
    return next((p for p in (folder, *folder.parents) if p.is_dir()), folder)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(_there(folder)).free
    except OSError:
        return 0
