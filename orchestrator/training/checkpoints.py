"""Where a training that was cut off goes on: the newest of its checkpoints that is sound.

A checkpoint has a list of what its files hold, written when all of them are there, and is held against it. One that
has none, because the worker died before it was written, is judged by the structure of its files.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.store.digests import as_text, changes, digests_of, from_text
from orchestrator.store.file_soundness import damage
from orchestrator.types import Finding

_NAME = "checkpoint-"
_STATE = "trainer_state.json"
"""What transformers' trainer writes last into a checkpoint."""
_LIST = ".digests.json"
"""Hidden, so that it is no file of the checkpoint itself."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a training goes on from."""

    checkpoint: Path | None
    """None: it starts from its beginning."""
    damaged: tuple[str, ...]
    """What is wrong with each newer checkpoint that was whole once."""

    def finding(self) -> Finding | None:
        """What a user reads of checkpoints that could not be used; None where there were none."""
        if not self.damaged:
            return None
        going_on = (
            "training starts from its beginning: no earlier checkpoint is sound"
            if self.checkpoint is None
            else f"training goes on from {self.checkpoint.name}"
        )
        return Finding(
            "checkpoint-damaged",
            "warning",
            f"{self.damaged[0]}; {going_on}",
            "\n".join(self.damaged),
            "the machine went down or its disk was full while it was written, or the file was changed since",
            "nothing: what is trained comes out the same; if it happens again, look at the disk",
        )


def resume_from(checkpoints: Path) -> Resumed:
    """The newest checkpoint to go on from; those that are not sound are removed: the trainer would find them again."""
    whole: Path | None = None
    damaged: list[str] = []
    half: list[str] = []
    for folder in sorted(checkpoints.glob(f"{_NAME}[0-9]*"), key=step_of, reverse=True):
        why = _damage(folder)
        if why is None:
            whole = folder
            break
        (damaged if _was_whole(folder) else half).append(f"{folder.name} is damaged: {why}")
        shutil.rmtree(folder)
    if whole is None:
        damaged += half  # what was being written when the worker died is no news as long as there is one before it
    return Resumed(whole, tuple(damaged))


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_NAME))


def checkpoint_of(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return checkpoints / f"{_NAME}{step}"


def mark_whole(checkpoint: Path) -> None:
    """A checkpoint has been written: write down what its files hold."""
    temporary = checkpoint / f"{_LIST}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(as_text(digests_of(checkpoint)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(checkpoint / _LIST)


def _was_whole(checkpoint: Path) -> bool:
    return (checkpoint / _LIST).exists() or (checkpoint / _STATE).exists()


def _damage(checkpoint: Path) -> str | None:
    try:
        recorded = from_text((checkpoint / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        recorded = None
    if recorded is not None:
        return next(changes(checkpoint, recorded, full=True), None)
    if not (checkpoint / _STATE).exists():
        return f"{_STATE} is missing: it was being written"
    files = (file for file in sorted(checkpoint.rglob("*")) if file.is_file() and not file.name.startswith("."))
    return next((why for file in files if (why := damage(file))), None)
