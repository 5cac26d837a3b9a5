"""What a file or a folder holds, by content: written down when it is made, held against it when it is read.

Knows files and nothing of stores. Content is hashed where a file is small or its size or time has changed, and always
where a full look is asked for; so a large file costs nothing as long as nobody has touched it, and a copy of a store,
whose files have other times, is no false alarm.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SMALL = 16 * 2**20
"""Bytes up to which content is always looked at."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file as it was."""

    size: int
    mtime_ns: int
    sha256: str
    """Hexadecimal."""


Digests = Mapping[str, FileDigest]
"""For each file of a folder its path in it; a file alone under its own name."""


def digests_of(path: Path) -> dict[str, FileDigest]:
    """What a file, or all files below a folder, hold now."""
    found = {}
    for name, file in _files(path):
        stat = file.stat()
        found[name] = FileDigest(stat.st_size, stat.st_mtime_ns, _sha256(file))
    return found


def changes(path: Path, recorded: Digests, full: bool = False) -> Iterator[str]:
    """Each file that is not what it was, and how; nothing where all is as it was."""
    here = dict(_files(path))
    for name, was in recorded.items():
        file = here.get(name)
        if file is None:
            yield f"{name} is missing"
            continue
        try:
            stat = file.stat()
            if stat.st_size != was.size:
                yield f"{name} has {stat.st_size:,} bytes, it had {was.size:,}"
            elif (full or stat.st_size <= SMALL or stat.st_mtime_ns != was.mtime_ns) and _sha256(file) != was.sha256:
                yield f"{name} has the size it had, {was.size:,} bytes, and other content"
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
    yield from (f"{name} was not there" for name in here if name not in recorded)


def lost(path: Path, recorded: Digests) -> list[str]:
    """The files that are gone, or empty and were not: what a copy that broke off or a user who made room leaves."""
    here = dict(_files(path))
    return [name for name, was in recorded.items() if name not in here or (was.size and not here[name].stat().st_size)]


def give_times(path: Path, recorded: Digests) -> None:
    """Give a copy whose content was verified the times of what it is a copy of: the next look is a cheap one."""
    for name, file in _files(path):
        if name in recorded:
            os.utime(file, ns=(file.stat().st_atime_ns, recorded[name].mtime_ns))


def as_text(digests: Digests) -> str:
    """Digests as JSON on one line."""
    return json.dumps({name: [d.size, d.mtime_ns, d.sha256] for name, d in digests.items()}, separators=(",", ":"))


def from_text(text: str) -> dict[str, FileDigest] | None:
    """Read back what `as_text` has written; None where it is something else."""
    try:
        return {
            name: FileDigest(int(size), int(time), str(sha)) for name, (size, time, sha) in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError):
        return None


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Each file that decides something: no hidden one, and no prose."""
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
