"""A call that holds its GPU for a time. It imports nothing heavy, so that its worker starts quickly."""

import json
import os
import time
from pathlib import Path


def hold(argument: tuple[str, float]) -> None:
    """Hold the GPU for the given seconds, and record in the given folder which GPU it was, and when."""
    import ray

    folder, seconds = argument
    began = time.time()
    time.sleep(seconds)
    gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    (Path(folder) / f"{os.getpid()}-{began}").write_text(json.dumps([gpus, began, time.time()]))
