"""Where an interrupted training resumes: its newest sound checkpoint.

A checkpoint has a list of its files' digests, written once all files exist, and is checked against it. A checkpoint
without one, because the worker died before writing it, is judged by the structure of its files.
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
"""The last file that transformers' trainer writes into a checkpoint."""
_LIST = ".digests.json"
"""Hidden, so that it does not count as one of the checkpoint's own files."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The checkpoint that a training resumes from."""

    checkpoint: Path | None
    """None: training starts from the beginning."""
    damaged: tuple[str, ...]
    """What is wrong with each newer checkpoint that was once complete."""

    def finding(self) -> Finding | None:
        """The finding about checkpoints that could not be used; None if there were none."""
        if not self.damaged:
            return None
        going_on = (
            "training starts from the beginning: no earlier checkpoint is sound"
            if self.checkpoint is None
            else f"training resumes from {self.checkpoint.name}"
        )
        return Finding(
            "checkpoint-damaged",
            "warning",
            f"{self.damaged[0]}; {going_on}",
            "\n".join(self.damaged),
            "the machine went down or its disk was full while it was written, or the file was changed since",
            "nothing: the trained model is the same; if it happens again, check the disk",
        )


def resume_from(checkpoints: Path) -> Resumed:
    """The newest sound checkpoint; unsound ones are removed, because the trainer would find them again."""
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
        damaged += half  # a checkpoint cut short when the worker died is not worth reporting if there is an earlier one
    return Resumed(whole, tuple(damaged))


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_NAME))


def checkpoint_of(checkpoints: Path, step: int) -> Path:
    """The path of the checkpoint of a step."""
    return checkpoints / f"{_NAME}{step}"


def mark_whole(checkpoint: Path) -> None:
    """Record the digests of a checkpoint's files, now that all of them have been written."""
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
