"""Where a training that was cut off goes on: the newest of its checkpoints that was written whole."""

import json
import shutil
from pathlib import Path

_NAME = "checkpoint-"
_STATE = "trainer_state.json"
"""What transformers' trainer writes last into a checkpoint."""


def last_whole(checkpoints: Path) -> Path | None:
    """The newest checkpoint to go on from; those that were being written when the worker died are removed."""
    whole = None
    for folder in sorted(checkpoints.glob(f"{_NAME}[0-9]*"), key=step_of, reverse=True):
        if not _is_whole(folder):
            shutil.rmtree(folder)
        elif whole is None:
            whole = folder
    return whole


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_NAME))


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the file itself may be half-written
        return False
    return True
