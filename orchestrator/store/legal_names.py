"""Names and values as the MLflow store accepts them: settings, tags, and the folder of an experiment.

Whatever a recipe contains gets a legal name here, so that no name can end a run that has started. Knows nothing of
mlflow.
"""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.schema import flatten

_MAX_PARAM = 6000
_MAX_TAG = 8000
"""Characters."""
_LONGEST_KEY = 250
_LONGEST_FOLDER = 100
"""Bytes: file systems allow 255, eCryptfs 143."""
_REFUSED = re.compile(r"[^/\w.\- :]")
"""Characters that MLflow rejects in the name of a param, metric or tag."""


def params_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as a run's params: dotted keys, and values as text, truncated if too long."""
    return {key: storable(str(value))[:_MAX_PARAM] for key, value in keys(flatten(settings)).items()}


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags, with texts that are too long truncated."""
    return {name: storable(text)[:_MAX_TAG] for name, text in tags.items()}


def keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under keys that the store accepts: `units.°C` becomes `units._C`; keys that collide are numbered."""
    found: dict[str, Any] = {}
    plain = {key for key in settings if _key(key) == key}
    for key, value in settings.items():
        wanted = _key(key)
        name, number = wanted, 1
        while name != key and (name in found or name in plain):
            number += 1
            name = f"{wanted[: _LONGEST_KEY - 10]}_{number}"
        found[name] = value
    return found


def _key(key: str) -> str:
    name = _REFUSED.sub("_", str(key))[:_LONGEST_KEY]
    # MLflow treats a name as a path, which must be in normal form
    if not name or posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        name = name.replace("/", "_")
        name = f"_{name}"[:_LONGEST_KEY] if name in ("", ".", "..") or name.startswith("..") else name
    return name


def folder_of(experiment: str) -> str:
    """The folder name for an experiment's artifacts; if the experiment's name cannot be used, part of it and a digest.

    It is ASCII, since the locale's file system encoding may support nothing else.
    """
    slug = "".join(c if c.isalnum() or c in "-_." else "-" for c in experiment)
    if len(slug) <= _LONGEST_FOLDER and slug.isascii() and not slug.startswith("."):
        return slug
    digest = hashlib.sha256(experiment.encode()).hexdigest()[:12]
    kept = slug.encode("ascii", "ignore").decode().lstrip(".")[: _LONGEST_FOLDER - 13]
    return f"{kept}-{digest}" if kept else digest


def storable(text: str) -> str:
    """Text that a database accepts: half a character (a lone surrogate, as in the bytes of a path) becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
