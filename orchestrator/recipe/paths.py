"""Paths in a recipe are relative to the folder of the file that contains them, and `~` is the user's home.

Paths on the command line are relative to the working folder, as usual.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.recipe.yaml_source import Path as Keys

FolderOf = Callable[[Keys], Path | None]
"""Maps a setting to the folder of the file that contains it; None: no file does."""

_PATHS = (
    ("storage",),
    ("model", "name"),
    ("task",),
    ("task", "type"),
    *(("task", *split, key) for split in (("*",), ("further", "*")) for key in ("file", "hub")),
)
"""Settings that may name files or folders."""


def path_settings(data: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """The settings in a block that may be paths, including values of a sweep, each with its text."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from path_settings(value, (*keys, str(key)))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from path_settings(value, (*keys, str(place)))
    elif isinstance(data, str) and any(_fits(_setting(keys), path) for path in _PATHS):
        yield keys, data


def located(data: Any, folder_of: FolderOf, keys: Keys = ()) -> Any:
    """A block, or the setting at `keys`, with its paths made relative to the working folder."""
    found = {path: _located(_setting(path)[-1], text, folder_of(path)) for path, text in path_settings(data, keys)}
    return _with(data, found, keys) if found else data


def absolute_paths(data: Any) -> dict[str, str]:
    """The relative paths in a recipe as absolute ones, by dotted setting name; those of a sweep are left out."""
    before = dict(path_settings(data))
    after = dict(path_settings(located(data, lambda _: Path.cwd())))
    return {".".join(keys): text for keys, text in after.items() if keys[0] != "sweep" and text != before[keys]}


def is_url(text: str) -> bool:
    """Whether a location is a URL rather than a path."""
    return "://" in text


def expanded(text: str) -> str:
    """A path with its `~` replaced by the user's home."""
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:  # no such user
        return text


def _located(key: str, text: str, folder: Path | None) -> str:
    file, colon, name = text.rpartition(":") if key in ("task", "type") else (text, "", "")
    if not file or (key in ("task", "type") and not file.endswith(".py")) or (key == "storage" and is_url(text)):
        return text
    path = expanded(file)
    is_name = key in ("name", "hub") and not _is_folder(folder or Path(), path)
    if folder is not None and folder != Path() and not is_name and not path.startswith("/"):
        path = f"{folder}/{path}"  # as text, which keeps `./`: it tells a folder from a name on the Hub
    return f"{path}{colon}{name}"


def _is_folder(folder: Path, text: str) -> bool:
    """Whether the name of a model or data set refers to a folder rather than to the Hub."""
    try:
        return text.startswith((".", "/")) or (text != "tiny" and (folder / text).is_dir())
    except (OSError, ValueError):  # too long for a path, a NUL in it
        return False


def _setting(keys: Keys) -> Keys:
    """The setting whose value is at `keys`: `keys` itself or, for a value of a sweep, the setting that varies."""
    if keys[:2] == ("sweep", "parameters") and len(keys) > 2:
        return tuple(keys[2].split("."))
    if keys[:2] == ("sweep", "linked") and len(keys) > 3:
        return tuple(keys[3].split("."))
    return keys


def _fits(keys: Keys, pattern: Keys) -> bool:
    return len(keys) == len(pattern) and all(p in ("*", key) for key, p in zip(keys, pattern, strict=True))


def _with(data: Any, found: dict[Keys, str], keys: Keys) -> Any:
    if keys in found:
        return found[keys]
    if isinstance(data, dict):
        return {key: _with(value, found, (*keys, str(key))) for key, value in data.items()}
    if isinstance(data, list):
        return [_with(value, found, (*keys, str(place))) for place, value in enumerate(data)]
    return data
