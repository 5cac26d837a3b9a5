"""The failure of a stage as a finding: the error in one line, its cause if known, and how to see its log."""

import re
from pathlib import Path

from orchestrator.store.disk_space import PREFIX as DISK_FULL
from orchestrator.types import Finding

_TRACE = "Traceback (most recent call last)"
_FRAME = re.compile(r'^\s+File "([^"]+)", line (\d+)', re.M)
_PACKAGE = Path(__file__).parent.parent
_MEMORY = (
    "lower per_device_train_batch_size and raise gradient_accumulation_steps by the same factor; in sampling and "
    "evaluation, lower batch_size"
)
_FULL = ("the disk is full", "free some space (`orch clean` lists what can go), or set storage to another folder")
_KNOWN: tuple[tuple[str, str, str], ...] = (
    ("stopped by limits.stop_on", "the recipe stops a stage on this finding (limits.stop_on)", "follow its advice"),
    (DISK_FULL, *_FULL),
    ("no space left", *_FULL),
    ("its worker process died", "the machine ran out of memory, or something killed the worker", _MEMORY),
    ("OutOfMemoryError", "the model and its batch do not fit into the GPU's memory", _MEMORY),
    ("out of memory", "the model and its batch do not fit into memory", _MEMORY),
    ("ModuleNotFoundError", "a library that a setting needs is not installed", "install it, or change that setting"),
    ("ImportError", "a library that a setting needs is not installed", "install it, or change that setting"),
)
"""Text in an error, its cause, and its remedy; the first match counts."""
_LAST = 3
"""Number of log lines shown."""


def failure(stage: str, error: str, log: str | None, way: str) -> Finding:
    """The finding for a failed stage; `log` is its workers' output, `way` the command that shows it."""
    first = next((line for line in error.splitlines() if line.strip()), "")
    known = next(((cause, do) for said, cause, do in _KNOWN if said in error), None)
    own = None if log is None else _own_code(log)
    if known is None and own is not None:
        known = f"your own code raised it, at {own}", "fix that line"
    if known is None and log is not None and _TRACE not in log:  # an expected error itself says what to do
        said, _, do = first.partition("; ")
        known = said, do or "fix what it names"
    cause, remedy = known or (
        "an error that orch does not know: the traceback shows where it was raised",
        f"read the end of `{way}`, and fix what it names",
    )
    lines = [] if log is None else [line for line in log.splitlines() if line.strip()][:-1][-_LAST:]
    seen = "\n".join([*lines, f"the full log: {way}" if log is not None else "no log was kept"])
    return Finding(
        "stage-failed",
        "error",
        f"stage {stage} failed: {first}",
        seen,
        cause,
        f"{remedy}; then run the recipe again: finished stages are reused",
    )


def _own_code(log: str) -> str | None:
    """The innermost line of the last traceback if it is in the user's own code; None if it is in a library."""
    _, found, trace = log.rpartition(_TRACE)
    frames = _FRAME.findall(trace) if found else []
    if not frames:
        return None
    file, line = frames[-1]
    library = "site-packages" in file or file.startswith("<") or "/lib/python" in file
    return None if library or Path(file).is_relative_to(_PACKAGE) else f"{Path(file).name}:{line}"
