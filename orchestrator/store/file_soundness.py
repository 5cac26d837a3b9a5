"""Whether a file is intact, as far as its own structure shows: weights, torch's files, JSON. Loads no library.

Detects a file that was cut off, left empty or filled with zeros by a power failure or a full disk. Whether it is the
file that was written, only a digest can tell (digests.py).
"""

import json
import struct
import zipfile
from pathlib import Path

_TORCH = (".pt", ".pth", ".bin")
_READ_WHOLE = 256 * 2**20
"""Torch files up to this many bytes have their internal checksums verified too."""


def damage(file: Path) -> str | None:
    """What is wrong with a file, after its name: `optimizer.pt is empty`; None if nothing is, or if it is missing."""
    try:
        why = _damage(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    return None if why is None else f"{file.name} {why}"


def _damage(file: Path) -> str | None:
    if not file.stat().st_size:
        return "is empty"
    if file.suffix == ".safetensors":
        return _safetensors(file)
    if file.suffix in _TORCH:
        return _torch(file)
    if file.suffix == ".json":
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            return "is not valid JSON"
    return None


def _safetensors(file: Path) -> str | None:
    """8 bytes with the header's length, the header as JSON, then the tensors up to the last offset it names."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return "is cut off" if len(start) < 8 or 0 < length < 100 * 2**20 else "is not a weights file"
        try:
            header = json.loads(opened.read(length))
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (ValueError, TypeError, KeyError, AttributeError):
            return "is not a weights file: its header cannot be read"
    if size != 8 + length + end:
        return (
            f"is cut off: it has {size:,} of {8 + length + end:,} bytes" if size < 8 + length + end else "is too long"
        )
    return None


def _torch(file: Path) -> str | None:
    with file.open("rb") as opened:
        start = opened.read(2)
    if start == b"\x80\x02" or start == b"\x80\x04":  # a pickle, which torch wrote before it wrote archives
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip() if file.stat().st_size <= _READ_WHOLE else None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error):
        return "is cut off or damaged"
    return None if bad is None else f"is damaged: {bad} inside it has the wrong checksum"
