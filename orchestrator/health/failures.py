"""The failure of a stage as a finding: the error in one line, its cause where that is known, and where its log is."""

import re
from pathlib import Path

from orchestrator.store.disk_space import PREFIX as DISK_FULL
from orchestrator.types import Finding

_TRACE = "Traceback (most recent call last)"
_FRAME = re.compile(r'^\s+File "([^"]+)", line (\d+)', re.M)
_PACKAGE = Path(__file__).parent.parent
_MEMORY = (
    "lower per_device_train_batch_size and raise gradient_accumulation_steps by as much; in sampling and evaluation "
    "lower batch_size"
)
_FULL = ("the disk is full", "make room (`orch clean` lists what can go), or name another folder: storage")
_KNOWN: tuple[tuple[str, str, str], ...] = (
    ("stopped by limits.stop_on", "the recipe ends a stage at this finding (limits.stop_on)", "do what it says"),
    (DISK_FULL, *_FULL),
    ("no space left", *_FULL),
    ("its worker process died", "the machine ran out of memory, or something killed the worker", _MEMORY),
    ("OutOfMemoryError", "what is computed at once does not fit into the GPU's memory", _MEMORY),
    ("out of memory", "what is computed at once does not fit into memory", _MEMORY),
    ("ModuleNotFoundError", "a library that a setting needs is not installed", "install it, or change that setting"),
    ("ImportError", "a library that a setting needs is not installed", "install it, or change that setting"),
)
"""What errors say, the cause, and what to do; the first that fits counts."""
_LAST = 3
"""Lines of a log that are shown."""


def failure(stage: str, error: str, log: str | None, way: str) -> Finding:
    """The finding for a stage that has failed; `log` is what its workers wrote, `way` the command that shows it."""
    first = next((line for line in error.splitlines() if line.strip()), "")
    known = next(((cause, do) for said, cause, do in _KNOWN if said in error), None)
    own = None if log is None else _own_code(log)
    if known is None and own is not None:
        known = f"code of your own raised it, at {own}", "correct that line"
    if known is None and log is not None and _TRACE not in log:  # an error that was foreseen says what to do itself
        said, _, do = first.partition("; ")
        known = said, do or "change what it names"
    cause, remedy = known or (
        "an error that orch does not foresee: the traceback says where it was raised",
        f"read the end of `{way}`, correct what it names",
    )
    lines = [] if log is None else [line for line in log.splitlines() if line.strip()][:-1][-_LAST:]
    seen = "\n".join([*lines, f"the whole log: {way}" if log is not None else "no log of it was kept"])
    return Finding(
        "stage-failed",
        "error",
        f"stage {stage} failed: {first}",
        seen,
        cause,
        f"{remedy}; then run the recipe again: what is finished is kept",
    )


def _own_code(log: str) -> str | None:
    """The innermost line of the last traceback, where that is in a file of the user's; None where it is a library's."""
    _, found, trace = log.rpartition(_TRACE)
    frames = _FRAME.findall(trace) if found else []
    if not frames:
        return None
    file, line = frames[-1]
    library = "site-packages" in file or file.startswith("<") or "/lib/python" in file
    return None if library or Path(file).is_relative_to(_PACKAGE) else f"{Path(file).name}:{line}"
