"""Digests of the content of files and folders: recorded when the content is written, checked when it is read.

Knows files, not stores. Content is hashed if a file is small or its time has changed, and always for a full check. So a
large file costs nothing as long as it is untouched, and a copy of a store, whose files have different times, raises no
false alarm.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SMALL = 16 * 2**20
"""Files up to this many bytes are always hashed."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file as recorded."""

    size: int
    mtime_ns: int
    sha256: str
    """Hexadecimal."""


Digests = Mapping[str, FileDigest]
"""By each file's path in its folder; a single file under its own name."""


def digests_of(path: Path) -> dict[str, FileDigest]:
    """The current digests of a file, or of all files below a folder."""
    found = {}
    for name, file in _files(path):
        stat = file.stat()
        found[name] = FileDigest(stat.st_size, stat.st_mtime_ns, _sha256(file))
    return found


def changes(path: Path, recorded: Digests, full: bool = False) -> Iterator[str]:
    """Each file that differs from its record, and how; nothing if all are unchanged."""
    here = dict(_files(path))
    for name, was in recorded.items():
        file = here.get(name)
        if file is None:
            yield f"{name} is missing"
            continue
        try:
            stat = file.stat()
            if stat.st_size != was.size:
                yield f"{name} has {stat.st_size:,} bytes instead of {was.size:,}"
            elif (full or stat.st_size <= SMALL or stat.st_mtime_ns != was.mtime_ns) and _sha256(file) != was.sha256:
                yield f"{name} has the same size, {was.size:,} bytes, but different content"
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
    yield from (f"{name} is new" for name in here if name not in recorded)


def lost(path: Path, recorded: Digests) -> list[str]:
    """Files that are gone, or empty but were not before, as after an interrupted copy or when a user made room."""
    here = dict(_files(path))
    return [name for name, was in recorded.items() if name not in here or (was.size and not here[name].stat().st_size)]


def give_times(path: Path, recorded: Digests) -> None:
    """Give a verified copy the times of its original, so that the next check is cheap."""
    for name, file in _files(path):
        if name in recorded:
            os.utime(file, ns=(file.stat().st_atime_ns, recorded[name].mtime_ns))


def as_text(digests: Digests) -> str:
    """Digests as JSON on one line."""
    return json.dumps({name: [d.size, d.mtime_ns, d.sha256] for name, d in digests.items()}, separators=(",", ":"))


def from_text(text: str) -> dict[str, FileDigest] | None:
    """Parse the output of `as_text`; None if it is something else."""
    try:
        return {
            name: FileDigest(int(size), int(time), str(sha)) for name, (size, time, sha) in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError):
        return None


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Each file that matters: no hidden files, and no prose."""
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if file.is_file() and not hidden and file.suffix != ".md":
            yield name, file


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
