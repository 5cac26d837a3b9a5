"""Which checkpoint a training resumes from."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.training.checkpoints import checkpoint_of, mark_whole, resume_from, step_of

FOLDER = Path("checkpoints")
FILES = ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
"""What transformers writes into an adapter's checkpoint, in this order; training_args.bin comes in between."""


def checkpoint(step: int, files: list[str] = FILES, marked: bool = True) -> Path:
    folder = checkpoint_of(FOLDER, step)
    folder.mkdir(parents=True)
    for name in files:
        if name.endswith(".safetensors"):
            save_file({"a": torch.arange(64.0) + step}, folder / name)
        elif name.endswith(".json"):
            (folder / name).write_text(json.dumps({"global_step": step}))
        else:
            torch.save({"state": torch.arange(256.0) * step}, folder / name)
    if marked:
        mark_whole(folder)
    return folder


def left() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir())


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def other(file: Path) -> None:
    """Change one byte of the content, which only a digest shows."""
    data = bytearray(file.read_bytes())
    data[-300 if file.suffix in (".pt", ".pth") else -3] ^= 1
    file.write_bytes(data)


def test_the_newest_one_that_is_whole() -> None:
    checkpoint(90)
    newest = checkpoint(100)
    checkpoint(110, FILES[:-1], marked=False)
    checkpoint(120, [], marked=False)
    found = resume_from(FOLDER)
    assert found.checkpoint == newest and step_of(newest) == 100, "100 comes after 90"
    assert found.finding() is None, "a checkpoint cut off when the worker died is no news"
    assert left() == ["checkpoint-100", "checkpoint-90"], "the trainer would find half-written ones again"


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("damage", [half, zeros, lambda file: file.write_bytes(b"")], ids=["half", "zeros", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_one_falls_back_to_the_one_before_it(name: str, damage: Callable[[Path], None], marked: bool) -> None:
    before, newest = checkpoint(10, marked=marked), checkpoint(20, marked=marked)
    damage(newest / name)
    found = resume_from(FOLDER)
    assert found.checkpoint == before and left() == ["checkpoint-10"]
    told = found.finding()
    assert told is not None and told.severity == "warning"
    assert told.what.startswith(f"checkpoint-20 is damaged: {name} ")
    assert told.what.endswith("; training resumes from checkpoint-10")


@pytest.mark.parametrize("name", FILES)
def test_other_content_and_a_file_that_is_gone_are_found_by_what_was_written_down(name: str) -> None:
    before = checkpoint(10)
    other(checkpoint(20) / name)
    (checkpoint(30) / name).unlink()
    found = resume_from(FOLDER)
    assert found.checkpoint == before
    assert [text.split(":")[0] for text in found.damaged] == ["checkpoint-30 is damaged", "checkpoint-20 is damaged"]
    assert found.damaged[0].endswith(f"{name} is missing") and f"{name} has the same size" in found.damaged[1]


def test_where_none_is_sound_it_starts_from_its_beginning_and_says_so() -> None:
    for step in (10, 20):
        (checkpoint(step) / "optimizer.pt").write_bytes(b"")
    found = resume_from(FOLDER)
    told = found.finding()
    assert found.checkpoint is None and left() == [] and told is not None
    assert told.what.endswith("training starts from the beginning: no earlier checkpoint is sound")
    assert "checkpoint-10" in told.evidence and "checkpoint-20" in told.evidence


def test_a_checkpoint_of_an_older_version_is_judged_by_its_files() -> None:
    sound = checkpoint(10, marked=False)
    (sound / ".digests.json").write_text('{"cut')
    assert resume_from(FOLDER).checkpoint == sound


def test_none_is_whole() -> None:
    assert resume_from(FOLDER).checkpoint is None, "no folder"
    assert resume_from(FOLDER).finding() is None, "there was none, so this is a normal start"
    checkpoint(10, FILES[:2], marked=False)
    (FOLDER / "notes").mkdir()
    found = resume_from(FOLDER)
    assert found.checkpoint is None and found.finding() is not None
    assert left() == ["notes"]
