"""The code that a recipe read back from a store may run: none, except an unchanged file of the working folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.comparison.side_by_side import compare
from orchestrator.errors import InputError, RecipeError, UntrustedCode
from orchestrator.models.base import resolve_model
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import Recipe, load_recipe
from orchestrator.recipe.stored_task import StoredCode, StoredTask, overridden
from orchestrator.recipe.yaml_source import write_data
from orchestrator.report.make import report
from orchestrator.runs.above import describe_run, start_run
from orchestrator.runs.past import RECIPE_FILE, stored_recipe
from orchestrator.store.mlflow import MlflowStore
from orchestrator.tasks.judged_by import judged_by
from orchestrator.tasks.judging import item
from orchestrator.types import Example
from tests.support.written_runs import answers, recipe, write_run

MINE = """\
from pathlib import Path
from orchestrator import Task
from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.types import Example, Verdict

Path("ran").touch()


class Mine(Task):
    judge: Judge = NumericJudge()
    step: int = 2

    def generate(self, split, n):
        return [Example(f"{split}-{i}", f"{split} {i}?", str(i * self.step)) for i in range(n)]
"""
JUDGES = (
    MINE
    + """
    def verdict(self, text, answer, finish_reason):
        return Verdict("correct", "by its own verdict")
"""
)
RECIPE = """\
name: own
task: {type: 'mine.py:Mine', step: 3, demonstrations: {generate: 2}, test: {generate: 4}}
model: {name: tiny}
stages: {sft: {type: sft}}
"""
RAN = Path("ran")


@pytest.fixture(autouse=True)
def _nothing_has_run() -> Iterator[None]:
    RAN.unlink(missing_ok=True)
    yield


def stored(text: str = MINE, *, kept: str | None = MINE, trust: bool = False, name: str = "mine.py:Mine") -> StoredTask:
    """The task of a stored recipe whose file has this text now and had `kept` when it ran."""
    Path("mine.py").write_text(MINE)
    Path("r.yaml").write_text(RECIPE)
    original = load_recipe("r.yaml")
    RAN.unlink()
    overrides = None
    if kept is not None:
        Path("kept").mkdir(exist_ok=True)
        Path("kept/task.py").write_text(kept)
        overrides = frozenset(["generate", *(["verdict"] if "verdict(" in kept else [])])
    Path("stored.yaml").write_text(write_data(original.resolved()).replace("mine.py:Mine", name))
    Path("mine.py").write_text(text)
    task = load_recipe("stored.yaml", own_task=lambda _: StoredTask).task
    assert isinstance(task, StoredTask)
    task.belongs_to(StoredCode("0123456789", name, Path("kept/task.py") if kept else None, overrides, trust))
    return task


def refused(task: StoredTask) -> str:
    with pytest.raises(UntrustedCode) as caught:
        task.examples("test")
    assert not RAN.exists(), "nothing is run before it is refused"
    [problem] = caught.value.problems
    assert "\n" not in problem and "so its code is not run; " in problem
    return problem


def test_settings_format_and_judge_are_there_without_the_code() -> None:
    task = stored("raise SystemExit")
    assert (task.format.type, task.judge.type, task.model_dump()["step"]) == ("tags", "numeric", 3)
    assert task.verdict("<answer>6</answer>", "6", "stop").status == "correct"
    assert task.judging_task() == (task, ())
    assert judged_by(task).startswith("numeric, equal to the gold answer")


def test_an_unchanged_file_of_the_working_folder_is_run_where_it_is_needed() -> None:
    task = stored()
    assert not RAN.exists()
    assert [e.answer for e in task.examples("test")] == ["0", "3", "6", "9"]
    assert RAN.exists() and type(task.loaded()).__name__ == "Mine"


def test_a_changed_file_is_named_with_what_differs_and_what_helps() -> None:
    problem = refused(stored(MINE + "# changed\n"))
    assert problem.startswith("mine.py: has changed since run 01234567 (sha256 ")
    assert problem.endswith(" now), so its code is not run; --trust runs it as it is now")
    changed = MINE.replace("i * self.step", "100 + i")
    assert [e.answer for e in stored(changed, trust=True).examples("test")] == ["100", "101", "102", "103"]


def test_a_file_that_is_gone_is_not_replaced_by_the_copy_of_the_store() -> None:
    task = stored()
    Path("mine.py").unlink()
    problem = refused(task)
    assert (
        problem.startswith("mine.py: does not exist (relative to ")
        and "--trust runs the copy that the run kept" in problem
    )
    task = stored(trust=True)
    Path("mine.py").unlink()
    assert [e.answer for e in task.examples("test")] == ["0", "3", "6", "9"]


def test_an_older_run_says_nothing_of_the_file() -> None:
    problem = refused(stored(kept=None))
    assert problem.startswith("mine.py: may have changed since run 01234567, which kept no copy of it")
    assert len(stored(kept=None, trust=True).examples("test")) == 4
    task = stored(kept=None, trust=True)
    Path("mine.py").unlink()
    with pytest.raises(InputError, match=r"mine\.py: does not exist .*: put the file back"):
        task.examples("test")


@pytest.mark.parametrize("way", ["absolute", "above", "link", "linked folder", "NUL", "sneaking back"])
def test_a_file_outside_the_working_folder_is_foreign_though_it_equals_the_copy(way: str, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    evil = outside / "evil.py"
    evil.write_text(MINE)
    Path("link.py").symlink_to(evil)
    Path("folder").symlink_to(outside)
    name = {
        "absolute": str(evil),
        "above": os.path.relpath(evil),
        "link": "link.py",
        "linked folder": "folder/evil.py",
        "NUL": "mine\0.py",
        "sneaking back": f"{tmp_path}/../{outside.name}/evil.py",
    }[way]
    task = stored()
    task.belongs_to(StoredCode("0123456789", f"{name}:Mine", Path("kept/task.py"), frozenset(["generate"]), False))
    assert "is outside the working folder " in refused(task)


def test_the_root_of_the_disk_is_nobodys_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    task, file = stored(), Path("mine.py").absolute()
    task.belongs_to(StoredCode("0123456789", f"{file}:Mine", Path("kept/task.py").absolute(), frozenset(), False))
    monkeypatch.chdir("/")
    with pytest.raises(UntrustedCode, match="is outside the working folder /, so its code is not run"):
        task.examples("test")


def test_a_file_of_the_users_that_is_no_task_is_not_run_for_a_store_that_names_it() -> None:
    tool = "from pathlib import Path\nPath('ran').touch()\nclass Mine: ...\n"
    assert "is not a task's file: it defines no class 'Mine'" in refused(stored(tool, kept=tool))
    assert "is not a task's file" in refused(stored("(" * 10_000, kept="(" * 10_000))


def test_an_own_verdict_needs_the_code_and_says_so_where_it_is_not_to_be_had() -> None:
    judge, notes = stored(JUDGES, kept=JUDGES).judging_task()
    assert (
        judge.own_verdict
        and judge.judge_completion(*item("", Example("", "", "1"))).value == "by its own verdict"
        and not notes
    )
    task = stored(JUDGES + "# changed\n", kept=JUDGES)
    judge, [note] = task.judging_task()
    assert not RAN.exists() and not judge.own_verdict and task.own_verdict
    assert judge.judge_completion(*item("<answer>6</answer>", Example("", "", "6"))).value == "6"
    assert note.startswith("the answer is read by format and judge alone: the task has its own verdict; mine.py: has")
    _, [note] = stored(kept=None).judging_task()
    assert "the task may have its own verdict" in note


def test_a_file_that_does_not_take_the_settings_any_more_is_told() -> None:
    with pytest.raises(RecipeError) as caught:
        stored(MINE.replace("step", "stride"), trust=True).examples("test")
    assert str(caught.value).startswith("the recipe of run 01234567: task.step: unknown key 'step'")
    with pytest.raises(RecipeError, match=r"mine\.py:1: cannot be imported: SystemExit"):
        stored("raise SystemExit(0)", trust=True).examples("test")


# --- in a store


def test_a_run_keeps_the_file_of_its_task_and_is_read_back_without_it() -> None:
    Path("mine.py").write_bytes(b"# coding: latin-1\r\n# \xe9\r\n" + JUDGES.encode())
    Path("r.yaml").write_text(RECIPE)
    loaded = load_recipe("r.yaml")
    assert overridden(type(loaded.task)) == ["generate", "verdict"]
    store = MlflowStore()
    run_id = start_run(store, store.experiment("own"), loaded, "own", {"orch.verb": "run"})
    describe_run(store, run_id, loaded, resolve_model(loaded.model))
    assert store.artifact(run_id, "task.py").read_bytes() == Path("mine.py").read_bytes()
    RAN.unlink()
    again = stored_recipe(store, run_id)
    assert isinstance(again.task, StoredTask) and again.task.own_verdict and not RAN.exists()
    assert again.resolved() == loaded.resolved()
    keys = [[stage.key for stage in compile_plan(one).stages] for one in (loaded, again_with_code(again))]
    assert keys[0] == keys[1]

    for text in ("name: [", levels()):  # a damaged recipe, and one that expands to a billion values
        store.artifact(run_id, RECIPE_FILE).write_text(text)
        with pytest.raises(RecipeError):
            stored_recipe(store, run_id)
    written = write_run(store, recipe(), {"base": answers(0.1), "sft": answers(0.5)})
    store.artifact(written, RECIPE_FILE).write_text(levels())
    for look in (compare, report):
        with pytest.raises(InputError, match="has more than 100,000 keys and values"):
            look(written)


def again_with_code(read: Recipe) -> Recipe:
    assert isinstance(read.task, StoredTask)
    return read.model_copy(update={"task": read.task.loaded()})


def levels() -> str:
    lines = [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 9)]
    return "a0: &a0 [x,x,x,x,x,x,x,x]\n" + "".join(lines)
