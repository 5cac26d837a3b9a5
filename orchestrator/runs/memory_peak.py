"""Peak memory of this process and its descendants since a given moment.

Judges and some engines run in separate processes, which count too. Uses torch only if the process has loaded it.
"""

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")
_others: list[tuple[float, float | None]] = []
"""Peaks of workers that ran for this process, possibly on other machines."""


def start_measuring() -> None:
    """Measure from now on. On a system that cannot reset the peak, it is that of the process's whole life."""
    for process in _family():
        with suppress(OSError):
            (_PROC / str(process.pid) / "clear_refs").write_text("5")  # Linux: reset the peak to the current value
    _others.clear()
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def count_in(memory_mb: float, gpu_memory_mb: float | None) -> None:
    """Include the peaks of another worker that ran for this process."""
    _others.append((memory_mb, gpu_memory_mb))


def peak_mb() -> float:
    """Peak main memory in megabytes: of this process, its running descendants, and the workers counted in.

    The peaks need not coincide, so their sum may be too high for these, but never too low.
    """
    own, *others = _family()
    family = _peak_mb(own, _own_peak_mb()) + sum(_peak_mb(other, 0.0) for other in others)
    return family + sum(memory for memory, _ in _others)


def _family() -> list[psutil.Process]:
    """This process and all its descendants."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _peak_mb(process: psutil.Process, otherwise: float) -> float:
    try:
        lines = (_PROC / str(process.pid) / "status").read_text().splitlines()
        [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(kilobytes) * 1024 / 1e6
    except (OSError, ValueError):  # it has ended, or this is not Linux
        return otherwise


def _own_peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def gpu_peak_mb() -> float | None:
    """Peak megabytes held by torch on a GPU, in this process or the workers counted in; None if no GPU was used."""
    cuda = _cuda()
    own = None if cuda is None else cuda.max_memory_reserved() / 1e6
    return max((peak for peak in (own, *(gpu for _, gpu in _others)) if peak is not None), default=None)


def _cuda() -> Any | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() and cuda.is_initialized() else None
