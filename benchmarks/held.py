"""A call that holds its GPU for a time. Imports nothing heavy: a worker that makes such calls is started at once."""

import json
import os
import time
from pathlib import Path


def hold(argument: tuple[str, float]) -> None:
    """Keep the GPU for so many seconds, and write down in a folder which it was, and when."""
    import ray

    folder, seconds = argument
    began = time.time()
    time.sleep(seconds)
    gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    (Path(folder) / f"{os.getpid()}-{began}").write_text(json.dumps([gpus, began, time.time()]))
