"""A task that is sent to another machine, with its examples beside it."""

import json
import pickle
from pathlib import Path

import pytest

from orchestrator.errors import DataError
from orchestrator.recipe.recipe import load_recipe
from tests.conftest import SMALL


def test_examples_travel_beside_their_task() -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(40)]
    Path("mine.json").write_text(json.dumps(rows))
    splits = ["task.train={file: mine.json, rows: ':30'}", "task.test={file: mine.json, rows: '30:'}"]
    task = load_recipe(SMALL, splits).task
    assert task.read_already() == {}
    task.check()
    assert {split: len(found) for split, found in task.read_already().items()} == {
        "demonstrations": 120,
        "train": 30,
        "test": 10,
    }
    sent = pickle.dumps((task, task.read_already()))
    Path("mine.json").unlink()
    received, examples = pickle.loads(sent)
    with pytest.raises(DataError, match=r"mine\.json"):
        received.examples("test")
    received.use(examples)
    assert [received.examples(split) for split in examples] == [task.examples(split) for split in examples]
    assert received.fingerprint("train") == task.fingerprint("train")
