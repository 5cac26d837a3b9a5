"""A folder as one zip file to send, whose bytes depend only on its content. Knows nothing about models."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.models.base import MANIFEST

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip can store."""
_BLOCK = 1 << 20
_ENTRY = 256
"""Upper bound on the bytes that a zip adds for a file with a short name."""


def bundle(folder: Path, file: Path, limit_mb: float, about: Mapping[str, Any]) -> int:
    """Write a flat folder's files and a manifest of their sha256 digests into the zip `file`; return its size in bytes.

    Files are stored in the order of their names, uncompressed: weights hardly shrink, and the bytes do not depend on a
    compressor.

    Raises:
        InputError: the zip would be larger than `limit_mb` million bytes; nothing is written then.
    """
    paths = sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.name)
    files = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in paths}
    manifest = json.dumps({**about, "files": files}, indent=2) + "\n"
    size = sum(p.stat().st_size for p in paths) + len(manifest) + _ENTRY * (len(paths) + 1)
    if size > limit_mb * 1e6:
        largest = max(paths, key=lambda p: p.stat().st_size)
        raise InputError(
            f"--bundle: it would be {size / 1e6:.1f} MB, more than the {limit_mb:g} allowed (limits.bundle_mb, or "
            f"--bundle-mb); the largest file is {largest.name} with {largest.stat().st_size / 1e6:.1f} MB"
        )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened:
        with opened.open(_entry(MANIFEST), "w") as target:
            target.write(manifest.encode())
        for path in paths:
            entry = _entry(path.name)
            entry.file_size = path.stat().st_size  # settles beforehand whether sizes need more than 32 bits
            with opened.open(entry, "w") as target, path.open("rb") as source:
                while block := source.read(_BLOCK):
                    target.write(block)
    return file.stat().st_size


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, on any platform
    entry.external_attr = 0o644 << 16
    return entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
