"""The kind of machine this is, as text: measurements on one machine carry over to others of its kind."""

import os
import platform
from collections import Counter
from pathlib import Path

_CPUS = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def kind_of_machine() -> str:
    """`2 cores of Intel(R) Xeon(R) Processor`, with its GPUs; if RAY_ADDRESS is set, the cluster's address instead."""
    if os.environ.get("RAY_ADDRESS"):
        return f"the cluster at {os.environ['RAY_ADDRESS']}".replace("'", "")
    gpus = Counter(_value(file, "Model") for file in sorted(_GPUS.glob("*/information")))
    parts = [f"{os.cpu_count()} cores of {_value(_CPUS, 'model name') or platform.machine()}"]
    parts += [f"{number} {name}" for name, number in gpus.items()]
    return ", ".join(parts).replace("'", "")  # MLflow's queries allow no such quotation mark in a text


def cores_and_gpus() -> tuple[int, int]:
    """This machine's cores, and the GPUs this process may use, as far as the system reports them."""
    gpus = len([*_GPUS.glob("*/information")])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = min(gpus, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))
    return os.cpu_count() or 1, gpus


def _value(file: Path, name: str) -> str:
    """The value of the first `name:` line in a file; empty if there is none."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), "")
