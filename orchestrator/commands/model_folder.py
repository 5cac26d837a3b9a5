"""Whether what a user names is a model folder, or a run. Loads nothing, so that commands may ask first."""

from pathlib import Path

_OF_A_MODEL = ("config.json", "adapter_config.json")


def model_folder(named: str | None) -> Path | None:
    """The folder that is meant; None: a run is.

    A folder without a model counts only where it is written as a path, such as `out/model` or `./model`: a run, or an
    experiment, may have the name of a folder that lies here.
    """
    if not named:
        return None
    try:
        folder = Path(named).expanduser()
        holds_one = any((folder / name).is_file() for name in _OF_A_MODEL)
        return folder if holds_one or (folder.is_dir() and "/" in named) else None
    except (OSError, RuntimeError):  # too long for a path; no such user's home
        return None
