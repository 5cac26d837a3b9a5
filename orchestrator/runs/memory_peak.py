"""The most memory that this process and those it has started have held since a moment.

Judges run in processes of their own, and so do some engines: they count. Knows torch only where the process has loaded
it.
"""

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")
_others: list[tuple[float, float | None]] = []
"""What workers have held that this process had work for it, on other machines perhaps."""


def start_measuring() -> None:
    """From now on. Where a system cannot forget an earlier peak, it is that of the process's whole life."""
    for process in _family():
        with suppress(OSError):
            (_PROC / str(process.pid) / "clear_refs").write_text("5")  # Linux: the peak becomes what is held now
    _others.clear()
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def count_in(memory_mb: float, gpu_memory_mb: float | None) -> None:
    """Count the peaks of another worker, which worked for this process."""
    _others.append((memory_mb, gpu_memory_mb))


def peak_mb() -> float:
    """Megabytes of main memory at the most: the peaks of this process, of those it has started and that still run, and
    of those counted in.

    They need not have been at one moment, so it may be too much, never too little of those.
    """
    own, *others = _family()
    family = _peak_mb(own, _own_peak_mb()) + sum(_peak_mb(other, 0.0) for other in others)
    return family + sum(memory for memory, _ in _others)


def _family() -> list[psutil.Process]:
    """This process, and all that it or one of these has started."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _peak_mb(process: psutil.Process, otherwise: float) -> float:
    try:
        lines = (_PROC / str(process.pid) / "status").read_text().splitlines()
        [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(kilobytes) * 1024 / 1e6
    except (OSError, ValueError):  # it has ended, or this is no Linux
        return otherwise


def _own_peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def gpu_peak_mb() -> float | None:
    """Megabytes that torch held at the most on a GPU, of this process or of those counted in; None where none was."""
    cuda = _cuda()
    own = None if cuda is None else cuda.max_memory_reserved() / 1e6
    return max((peak for peak in (own, *(gpu for _, gpu in _others)) if peak is not None), default=None)


def _cuda() -> Any | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() and cuda.is_initialized() else None
