"""The most memory that this process has held since a moment. Knows torch only where the process has loaded it."""

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def start_measuring() -> None:
    """From now on. Where a system cannot forget an earlier peak, it is that of the process's whole life."""
    with suppress(OSError):
        _CLEAR.write_text("5")  # Linux: sets the high-water mark to what is held now
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def peak_mb() -> float:
    """Megabytes of main memory at the most."""
    try:
        lines = _STATUS.read_text().splitlines()
        [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(kilobytes) * 1024 / 1e6
    except (OSError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def gpu_peak_mb() -> float | None:
    """Megabytes that torch held on this process's GPU at the most; None where it has used none."""
    cuda = _cuda()
    return None if cuda is None else cuda.max_memory_reserved() / 1e6


def _cuda() -> Any | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() and cuda.is_initialized() else None
