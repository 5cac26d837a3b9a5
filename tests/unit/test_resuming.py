"""Which checkpoint a training goes on from."""

import json
from pathlib import Path

from orchestrator.training.resuming import last_whole, step_of

FOLDER = Path("checkpoints")


def checkpoint(step: int, state: str | None) -> Path:
    folder = FOLDER / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return folder


def whole(step: int) -> Path:
    return checkpoint(step, json.dumps({"global_step": step}))


def left() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir())


def test_the_newest_one_that_is_whole() -> None:
    whole(90)
    newest = whole(100)
    checkpoint(110, None)
    checkpoint(120, '{"global_step": 1')
    checkpoint(130, "")
    found = last_whole(FOLDER)
    assert found == newest and step_of(newest) == 100, "100 comes after 90"
    assert left() == ["checkpoint-100", "checkpoint-90"], "what is half-written would be found again by the trainer"


def test_none_is_whole() -> None:
    assert last_whole(FOLDER) is None, "no folder"
    checkpoint(10, None)
    (FOLDER / "notes").mkdir()
    assert last_whole(FOLDER) is None
    assert left() == ["notes"]
