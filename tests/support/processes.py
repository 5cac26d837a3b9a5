"""Processes that train together as Ray Train's workers do: connected by gloo, each with its rank."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.support.machines import free_port


def together(program: str, folder: Path, workers: int = 2) -> None:
    """Run a program in several processes, passing it the folder, and wait for them; none may fail."""
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(workers)}
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": str(REPOSITORY)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(workers)
    ]
    try:
        for process in begun:
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
    finally:
        for process in begun:
            process.kill()
