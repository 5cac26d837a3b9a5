"""Reads a recipe's file and those that it extends as one block, recording the file and line of each setting.

`extends: base.yaml` inherits another file's settings: blocks are merged key by key, any other value in the recipe
replaces that of the other file, and `null` removes a setting. If several files are listed, later ones take precedence.
A base need not be a complete recipe, and may extend other files.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import RecipeError
from orchestrator.recipe.paths import expanded, located, path_settings
from orchestrator.recipe.yaml_source import Path as Keys
from orchestrator.recipe.yaml_source import parse, read_text
from orchestrator.schema import clipped

EXTENDS = "extends"
_MOST = 20
"""Maximum length of a chain of files that extend each other."""


class Place(NamedTuple):
    """The file and line of a setting."""

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A recipe as read from its files."""

    data: dict[str, Any]
    """The settings, with paths relative to the working folder."""
    places: Mapping[Keys, Place]
    text: str
    """The text of the recipe's own file, including comments."""


def read_recipe(path: str | Path) -> ReadFile:
    """Read a recipe's file and the files that it extends, and fill in environment variables.

    Raises:
        RecipeError: a file cannot be read, is not a block of keys, or has a path relative to the working folder.
    """
    read = _read(Path(path), str(path), ())
    problems = list(_misplaced(read))
    if problems:
        raise RecipeError(*problems)
    data = located(read.data, lambda keys: Path(read.places[keys].source).parent)
    return ReadFile(data, read.places, read.text)


def _closest(path: Path) -> str:
    """A hint: the recipe that was probably meant, else how to list recipes."""
    there = {file.stem: str(file) for file in path.parent.glob("*.yaml")} if path.parent.is_dir() else {}
    close = get_close_matches(path.stem, there, n=1)
    return f"did you mean {there[close[0]]!r}?" if close else "`orch init --list` shows recipes to start from"


def recipe_text(path: str | Path) -> str:
    """The text of a recipe's file. Raises RecipeError if it cannot be read."""
    try:
        return read_text(path, str(path))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe; {_closest(Path(path))}") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: is a folder; name a recipe, a .yaml file") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `own`: inner blocks are merged, null removes a setting, anything else is replaced."""
    found = dict(base)
    for key, value in own.items():
        under = found.get(key)
        if value is None and key in found:
            del found[key]
        elif isinstance(value, dict) and isinstance(under, dict):
            found[key] = merged(under, value)
        else:
            found[key] = value
    return found


def _read(path: Path, source: str, chain: tuple[Path, ...]) -> ReadFile:
    text = recipe_text(path)
    data, lines = parse(text, source, os.environ)
    if not isinstance(data, dict):
        raise RecipeError(f"{source}: must be a block of keys (name, task, model, stages, evaluate)")
    places = {keys: Place(source, line) for keys, line in lines.items()}
    names = data.pop(EXTENDS, None)
    if names is None:
        return ReadFile(data, places, text)
    where = f"{places[(EXTENDS,)]}: {EXTENDS}"
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise RecipeError(f"{where}: must be the name of a file, or a list of them, such as base.yaml")
    base: dict[str, Any] = {}
    base_places: dict[Keys, Place] = {}
    for name in names:
        read = _base(path, name, where, (*chain, path.resolve()))
        base, base_places = merged(base, read.data), base_places | dict(read.places)
    places = base_places | places
    data = merged(base, data)
    return ReadFile(data, {keys: places[keys] for keys in _keys(data)}, text)


def _base(path: Path, name: str, where: str, chain: tuple[Path, ...]) -> ReadFile:
    """A file that the file at `path` extends; `chain` are the files extended so far, ending in `path`."""
    file = path.parent / expanded(name)
    if file.resolve() in chain:
        raise RecipeError(f"{where}: {clipped(name)} also extends this file: remove one of the two")
    if len(chain) == _MOST:
        raise RecipeError(f"{where}: more than {_MOST} files extend each other")
    if not file.exists():
        raise RecipeError(
            f"{where}: {clipped(str(file), 300)}: there is no such file (its path is relative to {path.parent})"
        )
    return _read(file, str(file), chain)


def _keys(data: Any, keys: Keys = ()) -> Iterator[Keys]:
    """The key paths of a block, and of all blocks and values in it."""
    yield keys
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from _keys(value, (*keys, str(key)))


def _misplaced(read: ReadFile) -> Iterator[str]:
    """Problems for paths that exist in the working folder but not in the recipe's folder: what to write instead."""
    for keys, text in path_settings(read.data):
        place = read.places[keys]
        file, folder = text.rpartition(":")[0] if ".py:" in text else text, Path(place.source).parent
        try:
            if keys[-1] == "storage" or (folder / file).exists() or not Path(file).exists():
                continue
        except (OSError, ValueError):  # too long for a path, a NUL in it
            continue
        meant = os.path.relpath(file, folder)
        yield (
            f"{place}: {'.'.join(keys)}: {clipped(file)} is not in {folder}, and paths in a recipe are relative to its "
            f"own folder: write {clipped(meant)}"
        )
