"""One zip of a folder: its content determines its bytes, its manifest is right, its size has a limit."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.exports.bundle import bundle


def folder(name: str = "model", **files: bytes) -> Path:
    made = Path(name)
    made.mkdir()
    for file, content in (files or {"b": b"two" * 1000, "a": b"", "c": os.urandom(2_000_000)}).items():
        (made / file).write_bytes(content)
    return made


def test_all_files_come_back_as_they_were() -> None:
    size = bundle(folder(), Path("m.zip"), 100, {})
    assert size == Path("m.zip").stat().st_size
    with zipfile.ZipFile("m.zip") as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["manifest.json", "a", "b", "c"]
        opened.extractall("back")
    for path in Path("model").iterdir():
        assert (Path("back") / path.name).read_bytes() == path.read_bytes()
        assert (Path("back") / path.name).stat().st_mode & 0o777 & 0o600 == 0o600


def test_the_manifest_holds_what_it_is_told_and_the_digest_of_each_file() -> None:
    bundle(folder(x=b"abc", y=b""), Path("m.zip"), 100, {"model": "rft"})
    manifest = json.loads(zipfile.ZipFile("m.zip").read("manifest.json"))
    assert manifest["model"] == "rft"
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in (("x", b"abc"), ("y", b""))}
    assert manifest["files"] == {
        "x": {"bytes": 3, "sha256": digests["x"]},
        "y": {"bytes": 0, "sha256": digests["y"]},
    }


def test_the_bytes_depend_on_the_content_alone() -> None:
    content = {"one": b"1" * 70_000, "two": b"2"}
    bundle(folder("first", **content), Path("first.zip"), 1, {})
    second = folder("second", **dict(reversed(content.items())))
    for path in second.iterdir():
        os.utime(path, (1, 1_000_000_000))
        path.chmod(0o600)
    bundle(second, Path("second.zip"), 1, {})
    assert Path("first.zip").read_bytes() == Path("second.zip").read_bytes()
    (second / "two").write_bytes(b"3")
    bundle(second, Path("third.zip"), 1, {})
    assert Path("first.zip").read_bytes() != Path("third.zip").read_bytes()


def test_too_large_is_told_with_its_size_and_leaves_nothing() -> None:
    large = folder()
    with pytest.raises(InputError) as caught:
        bundle(large, Path("m.zip"), 1.5, {})
    assert str(caught.value) == (
        "--bundle: it would be 2.0 MB, more than the 1.5 allowed (limits.bundle_mb, or --bundle-mb); the largest "
        "file is c with 2.0 MB"
    )
    assert not Path("m.zip").exists()


def test_what_is_written_is_never_above_the_limit() -> None:
    several = folder(**{f"file-{i}": b"x" * 100 for i in range(20)})
    size = bundle(several, Path("m.zip"), 1, {})
    with pytest.raises(InputError):
        bundle(several, Path("n.zip"), (size - 1) / 1e6, {})
