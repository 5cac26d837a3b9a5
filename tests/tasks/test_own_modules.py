"""A task's own file and the modules beside it that it imports: found, part of the key, stored with a run."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import RecipeError, UntrustedCode
from orchestrator.models.base import resolve_model
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.recipe.stored_task import StoredTask
from orchestrator.runs.above import describe_run, start_run
from orchestrator.runs.past import stored_recipe
from orchestrator.store.opening import open_store
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Example
from tests.conftest import REPOSITORY

MINE = """\
import helper
from orchestrator import Task
from orchestrator.answers.judges import ExactJudge, Judge
from orchestrator.types import Example, Verdict
from parts.deep import rules
from parts.deep.rules import worth


class Mine(Task):
    judge: Judge = ExactJudge()

    def generate(self, split, n):
        return [Example(f"{split}-{i}", f"{split} {i}?", helper.answer(i)) for i in range(n)]

    def verdict(self, text, answer, finish_reason):
        text = self.format.extract(text) or text
        return Verdict("correct" if text == answer else "wrong", helper.WORD, score=worth(text, rules.MOST))
"""
FILES = {
    "mine.py": MINE,
    "helper.py": "import json\n\nWORD = 'first'\n\n\ndef answer(i):\n    return json.dumps(i)\n",
    "parts/__init__.py": "",
    "parts/deep/rules.py": "from parts import scale\n\nMOST = 100\n\n\ndef worth(text, most):\n"
    "    return len(text) / most * scale.FACTOR\n",
    "parts/scale.py": "FACTOR = 1.0\n",
}
RECIPE = """\
name: own
task: {type: 'mine.py:Mine', demonstrations: {generate: 2}, test: {generate: 4}}
model: {name: tiny}
stages: {sft: {type: sft}}
"""


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    write(FILES)
    Path("r.yaml").write_text(RECIPE)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("helper", "parts", "orch_task_mine")]:
        del sys.modules[name]


def write(files: dict[str, str], folder: Path | None = None) -> None:
    for name, text in files.items():
        path = (folder or Path()) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def keys(*overrides: str) -> dict[str, str]:
    return {stage.name: stage.key for stage in compile_plan(load_recipe("r.yaml", overrides)).stages}


def test_modules_of_the_folder_are_found_and_others_are_left_alone() -> None:
    Path("json.py").write_text("raise SystemExit('the library, which is loaded, is meant')")
    Path("peft").mkdir()  # a data folder, which must not shadow a library
    path, finders, before = list(sys.path), list(sys.meta_path), sys.dont_write_bytecode
    task = load_recipe("r.yaml").task
    assert [e.answer for e in task.examples("test")] == ["0", "1", "2", "3"]
    assert set(task.MODULES) == set(FILES) - {"mine.py"}
    assert (path, finders, before) == (sys.path, sys.meta_path, sys.dont_write_bytecode)
    assert not list(Path().rglob("__pycache__"))


@pytest.mark.parametrize("name", ["helper.py", "parts/deep/rules.py", "parts/scale.py"])
def test_a_module_that_changes_makes_other_keys(name: str) -> None:
    before = keys()
    Path(name).write_text(FILES[name] + "# changed\n")
    assert all(before[stage] != key for stage, key in keys().items() if stage.startswith("evaluate"))
    assert before["sft"] != keys()["sft"], "it generated the questions"
    Path(name).write_text(FILES[name])
    assert keys() == before
    Path("other.py").write_text("nobody imports this")
    assert keys() == before


def test_what_a_module_says_now_is_what_runs() -> None:
    assert load_recipe("r.yaml").task.verdict("ab", "ab", "stop").value == "first"
    Path("helper.py").write_text(FILES["helper.py"].replace("first", "later"))
    assert load_recipe("r.yaml").task.verdict("ab", "ab", "stop").value == "later"


def test_a_file_that_imports_nothing_beside_it_has_the_key_that_it_had() -> None:
    alone = MINE.replace("import helper\n", "").replace("from parts.deep import rules\n", "")
    Path("mine.py").write_text(alone.replace("from parts.deep.rules import worth\n", ""))
    task = load_recipe("r.yaml").task
    assert hashlib.sha256(Path("mine.py").read_bytes()).hexdigest() == task.SOURCE and task.MODULES == {}


def test_keys_are_the_same_from_another_folder() -> None:
    before, folder = keys(), Path.cwd()
    elsewhere = folder / "else" / "where"
    elsewhere.mkdir(parents=True)
    script = (
        "from orchestrator.recipe.recipe import load_recipe; "
        "from orchestrator.plan.plan import compile_plan\n"
        "recipe = load_recipe('../../r.yaml', ['task.type=../../mine.py:Mine'])\n"
        "print({stage.name: stage.key for stage in compile_plan(recipe).stages})"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(before), done.stderr


def test_the_process_that_judges_has_them() -> None:
    task = load_recipe("r.yaml").task
    assert task.guarded
    [right, wrong] = verdicts(task, [item("abcd", Example("", "", "abcd")), item("a", Example("", "", "b"))])
    assert (right.status, right.value, right.score) == ("correct", "first", 0.04), right.why
    assert (wrong.status, wrong.score) == ("wrong", 0.01)


@pytest.mark.parametrize(
    ("file", "line", "text"),
    [
        ("mine.py", 1, "def late():\n    import helper\n\n"),
        ("helper.py", 1, "def late():\n    from parts.scale import FACTOR\n\n"),
        ("parts/deep/rules.py", 1, "class C:\n    async def late(self):\n        from . import rules\n\n"),
    ],
)
def test_an_import_that_keys_and_workers_would_not_see_is_refused(file: str, line: int, text: str) -> None:
    Path(file).write_text(text + FILES[file])
    with pytest.raises(RecipeError, match=rf"{file}:\d+: imports .* inside a function.* at the top of the file"):
        load_recipe("r.yaml")


def test_other_imports_in_functions_are_nobodys_business() -> None:
    Path("mine.py").write_text("def late():\n    import json, orchestrator.tasks\n\n" + MINE)
    load_recipe("r.yaml")


def test_a_file_that_fails_leaves_nothing_behind() -> None:
    Path("mine.py").write_text(MINE + "\nraise KeyError('x')\n")
    finders = list(sys.meta_path)
    with pytest.raises(RecipeError, match=r"mine\.py:\d+: cannot be imported: KeyError"):
        load_recipe("r.yaml")
    assert "helper" not in sys.modules and sys.meta_path == finders


def test_a_module_that_is_missing_is_told_with_the_file() -> None:
    Path("helper.py").unlink()
    with pytest.raises(RecipeError, match=r"mine\.py:1: cannot be imported: ModuleNotFoundError"):
        load_recipe("r.yaml")


def test_modules_of_the_users_own_program_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path.cwd())
    import helper  # type: ignore[import-not-found]

    before = helper
    task = load_recipe("r.yaml").task
    assert sys.modules["helper"] is before and "helper.py" in task.MODULES


# --- in a store


def stored(trust: bool = False) -> StoredTask:
    """The task of a run, read back."""
    loaded, store = load_recipe("r.yaml"), open_store(create=True)
    run_id = start_run(store, store.experiment("own"), loaded, "own", {"orch.verb": "run"})
    describe_run(store, run_id, loaded, resolve_model(loaded.model))
    task = stored_recipe(store, run_id, trust).task
    assert isinstance(task, StoredTask)
    return task


def test_an_unchanged_folder_is_run() -> None:
    task = stored()
    assert [e.answer for e in task.examples("test")] == ["0", "1", "2", "3"]
    assert task.loaded().SOURCE == load_recipe("r.yaml").task.SOURCE


def test_a_module_that_has_changed_is_not_run_without_a_word() -> None:
    task, trusted = stored(), stored(trust=True)
    Path("helper.py").write_text("raise SystemExit")
    with pytest.raises(UntrustedCode, match=r"mine\.py: imports helper\.py, which has changed since run .* --trust"):
        task.examples("test")
    Path("helper.py").write_text(FILES["helper.py"].replace("(i)", "(i + 1)").replace("answer(i + 1)", "answer(i)"))
    assert [e.answer for e in trusted.examples("test")] == ["1", "2", "3", "4"]


def test_a_module_that_the_run_did_not_keep_is_not_run() -> None:
    task = stored()
    kept = task._code.kept_modules
    assert kept is not None
    (kept / "parts" / "scale.py").unlink()
    with pytest.raises(UntrustedCode, match=r"mine\.py: imports parts/scale\.py, of which run .* kept no copy"):
        task.examples("test")


def test_files_that_are_gone_are_run_from_the_copies_if_that_is_wanted() -> None:
    task = stored(trust=True)
    for name in FILES:
        Path(name).unlink()
    assert [e.answer for e in task.examples("test")] == ["0", "1", "2", "3"]
    assert task.loaded().verdict("abcd", "abcd", "stop").score == 0.04
