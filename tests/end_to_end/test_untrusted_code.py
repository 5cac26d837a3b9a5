"""Verbs that look back do not run a task's code from a store, nor a task file that has changed since the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.names import TASK_FILE, TASK_TAG
from tests.conftest import Called, call
from tests.support.store import artifact, client

Run = tuple[Path, Called]
MINE = """\
from pathlib import Path
from orchestrator.tasks.units import UnitsTask

Path("ran").touch()
print("printed by the task's file")


class Mine(UnitsTask):
    type: str
"""


@pytest.fixture
def own(small_copy: Path, small_run: Run) -> tuple[Path, Any]:
    """A folder with a run of a user's own task and the task's unchanged file; and that run."""
    run = client(small_copy).get_run(small_run[1].json["run_id"])
    recipe = artifact(run, "recipe.yaml")
    recipe.write_text(recipe.read_text().replace("type: units", "type: mine.py:Mine", 1))
    (recipe.parent / TASK_FILE).write_text(MINE)
    client(small_copy).set_tag(run.info.run_id, TASK_TAG, "")
    (small_copy / "mine.py").write_text(MINE)
    return small_copy, run


def ran(folder: Path) -> bool:
    """Whether the task's file has run since the last check."""
    mark = folder / "ran"
    there = mark.exists()
    mark.unlink(missing_ok=True)
    return there


def test_what_needs_no_code_runs_none(own: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = own
    (folder / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\nraise SystemExit(0)\n")
    asked = call(folder, "ask", "last", "How many cm are 3 m?", "--json")
    assert asked.code == 0 and asked.json["prompt"] and asked.json["notes"] == [], asked.err
    exported = call(folder, "export", "last", str(tmp_path / "model"), "--json")
    assert exported.code == 0 and (tmp_path / "model" / "README.md").is_file(), exported.err
    assert call(folder, "compare", "last", "--json").code == 0
    reported = call(folder, "report", "last", "--force", "--json")
    assert reported.code == 0, reported.err
    [note] = reported.json["notes"]
    assert note.startswith("mine.py: has changed since run ") and f"! {note}"[:60] in reported.err
    assert not ran(folder)


def test_what_needs_the_code_runs_it_unchanged_or_with_the_users_word(own: tuple[Path, Any]) -> None:
    folder, run = own
    looked = call(folder, "diagnose", "last", "--json")
    assert looked.code in (0, 3) and ran(folder), looked.err
    json.loads(looked.out)  # stdout is only the JSON, though the file prints
    assert "printed by the task's file" in looked.err
    (folder / "mine.py").write_text(MINE + "\n\n")
    refused = call(folder, "diagnose", "last", "--json")
    assert refused.code == 2 and not ran(folder) and refused.out == ""
    [line] = refused.err.strip().splitlines()
    assert line.startswith(f"orch: mine.py: has changed since run {run.info.run_id[:8]} (sha256 ")
    assert line.endswith("so its code is not run; --trust runs it as it is now")
    trusted = call(folder, "diagnose", "last", "--json", "--trust")
    assert trusted.code == looked.code and ran(folder), trusted.err
    (folder / "mine.py").write_text("raise SystemExit(0)\n")
    left = call(folder, "diagnose", "last", "--trust")
    assert left.code == 2 and "mine.py:1: cannot be imported: SystemExit: 0; it ends the program" in left.err


def test_code_that_comes_with_a_model_is_code_that_the_recipe_names(small_copy: Path, small_run: Run) -> None:
    recipe = artifact(client(small_copy).get_run(small_run[1].json["run_id"]), "recipe.yaml")
    text = recipe.read_text()
    assert "trust_remote_code: false" in text
    recipe.write_text(text.replace("trust_remote_code: false", "trust_remote_code: true"))
    for verb in (("ask", "last", "How many cm are 3 m?"), ("export", "last", "model"), ("diagnose", "last")):
        called = call(small_copy, *verb)
        [line] = called.err.strip().splitlines()
        assert (
            called.code == 2 and "'tiny' to run (model.trust_remote_code), so the model is not loaded; --trust" in line
        )
    assert call(small_copy, "ask", "last", "How many cm are 3 m?", "--trust").code == 0
