"""Tells model folders from runs in a user's argument. Loads nothing, so that commands can check this first."""

from pathlib import Path

_OF_A_MODEL = ("config.json", "adapter_config.json")


def model_folder(named: str | None) -> Path | None:
    """The folder that `named` refers to; None if it refers to a run.

    A folder without a model counts only if it is written as a path, such as `out/model` or `./model`: a run or an
    experiment may have the same name as a folder in the current directory.
    """
    if not named:
        return None
    try:
        folder = Path(named).expanduser()
        holds_one = any((folder / name).is_file() for name in _OF_A_MODEL)
        return folder if holds_one or (folder.is_dir() and "/" in named) else None
    except (OSError, RuntimeError):  # too long for a path; no home folder for that user
        return None
