"""Judging in a process that can be killed: a bad completion costs only its own verdict."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.answers.guard import Guard
from orchestrator.answers.limits import JudgeLimits
from orchestrator.errors import StageError
from orchestrator.recipe.recipe import load_recipe
from orchestrator.tasks import TASKS, Task
from orchestrator.tasks.judging import Item, item, verdicts
from orchestrator.types import Example, Verdict

SECONDS = 2.0
FIVE = Example("", "", "5")

OWN_TASK = """
import os, sys, time
from orchestrator import Task
from orchestrator.answers.judges import Judge, NumericJudge
from orchestrator.types import Verdict

class Bad(Exception):
    def __init__(self, one, two):
        super().__init__(one)

def helper(text):
    return text.removeprefix("say ")

class MyTask(Task):
    judge: Judge = NumericJudge()

    def verdict(self, text, answer, finish_reason):
        if text == "loop":
            while True:
                pass
        if text == "sleep":
            time.sleep(3600)
        if text == "hold the interpreter":
            9**9**9
        if text == "backtrack":
            import re
            re.match("(a+)+$", "a" * 64 + "b")
        if text == "raise":
            raise Bad(1, 2)
        if text == "exit":
            sys.exit(0)
        if text == "leave":
            os._exit(0)
        if text == "leave with 3":
            os._exit(3)
        if text == "crash":
            os.kill(os.getpid(), 11)
        if text == "memory":
            return Verdict("correct", str(len(bytearray(2**34))))
        if text == "recursion":
            return self.verdict(text, answer, finish_reason)
        if text == "nonsense":
            return "correct"
        if text == "bool":
            return True
        if text == "print":
            print("hello", "there", flush=True)
            os.system("echo past Python")
        if text == "deep":
            return self.verdict(text, answer, finish_reason)
        if text == "odd value":
            return Verdict("correct", 5)
        return Verdict("correct" if helper(text) == answer else "wrong", helper(text))
"""
RECIPE = """
name: own
task: {type: 'mine.py:MyTask', test: {file: t.json}, judge_limits: {timeout_s: %s}}
model: {name: tiny}
stages: {s: {type: sft, model: base, data: demonstrations}}
"""
BAD: dict[str, str] = {
    "loop": "timeout",
    "sleep": "timeout",
    "hold the interpreter": "timeout",
    "backtrack": "timeout",
    "raise": "error",
    "exit": "error",
    "leave": "error",
    "leave with 3": "error",
    "crash": "error",
    "memory": "error",
    "recursion": "error",
    "nonsense": "error",
    "odd value": "error",
}
STRANGE = ["x" * 1_000_000, "9**9**9", "(" * 100_000, "\0\0", "\u202e5", "\ud800", "", "say " + "y" * 10_000]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Task]:
    Path("mine.py").write_text(OWN_TASK)
    Path("r.yaml").write_text(RECIPE % SECONDS)
    Path("t.json").write_text("[]")
    yield load_recipe("r.yaml").task
    sys.modules.pop("orch_task_mine")


def test_a_bad_completion_costs_its_own_verdict_alone(own: Task) -> None:
    assert own.guarded
    texts = [text for bad in [*BAD, *STRANGE] for text in (bad, "say 5")]
    made: list[Verdict] = []
    for text in texts:
        before = time.monotonic()
        made += verdicts(own, [item(text, FIVE)])
        if BAD.get(text) == "timeout":
            # the time limit, noticing it, and starting the next process, on a machine that may be busy
            assert SECONDS <= time.monotonic() - before < SECONDS + 30
        if text == "say 5":
            assert made[-1] == Verdict("correct", "5"), texts[len(made) - 2][:30]
    assert {text: v.status for text, v in zip(texts, made, strict=True) if text in BAD} == BAD
    strange = made[2 * len(BAD) :: 2]
    assert [v.status for v in strange] == ["wrong"] * len(STRANGE)
    assert [v.value for v in strange[:-1]] == [text[:2_000] for text in STRANGE[:-1]]
    assert strange[-1].value == "y" * 2_000


def test_what_went_wrong_is_named_with_its_line(own: Task) -> None:
    lines = OWN_TASK.splitlines()

    def line(text: str) -> str:
        return f"(mine.py:{next(number for number, one in enumerate(lines, 1) if text in one)})"

    whys = {
        "raise": f"Bad: 1 {line('raise Bad')}",
        "exit": f"SystemExit: 0 {line('sys.exit')}",
        "leave": f"os._exit(0) {line('os._exit(0)')}",
        "leave with 3": f"os._exit(3) {line('os._exit(3)')}",
        "crash": "it ended its process (SIGSEGV)",
        "loop": f"it took longer than {SECONDS:g} s",
        "nonsense": f"verdict returns 'correct', a str, not a Verdict {line('def verdict')}",
        "odd value": "it returns Verdict(status='correct', value=5",
        "bool": f"verdict returns True, a bool, not a Verdict {line('def verdict')}",
        "print": f"it prints 'hello' {line('print(')}",
        "deep": "RecursionError: maximum recursion depth exceeded",
        "say 5": None,
    }
    for text, why in whys.items():
        [verdict] = verdicts(own, [item(text, FIVE)])
        assert why is verdict.why is None or (why is not None and why in str(verdict.why)), (text, verdict.why)
        assert verdict.status == {"loop": "timeout", "print": "wrong", "say 5": "correct"}.get(text, "error")


def test_items_are_answered_in_order_from_any_thread(own: Task) -> None:
    made: dict[int, list[Verdict]] = {}

    def ask(number: int) -> None:
        items: list[Item] = [item(f"say {i}", Example("", "", str(number))) for i in range(20)]
        made[number] = verdicts(own, items)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        assert [v.value for v in made[number]] == [str(i) for i in range(20)]
        assert [v.status for v in made[number]].count("correct") == 1


def test_mathematics_ends_in_time_and_spares_the_neighbours() -> None:
    settings = {"type": "file", "test": {"file": "t.json"}, "judge": {"type": "math"}}
    task = TASKS["file"].model_validate(settings | {"judge_limits": {"timeout_s": SECONDS}})
    bad = {
        "9^{9^{9}}": "wrong",
        "9**9**9": "wrong",
        "(" * 1_900: "timeout",
        "(" * 100_000: "unparsed",
        "1" * 1_000_000: "unparsed",
        "5\0": "wrong",
        "\u202e5": "wrong",
        "5\ud800": "wrong",
        "}{": "unparsed",
    }
    half = Example("", "", "0.5")
    items: list[Item] = [item(f"<answer>{a}</answer>", half) for b in bad for a in (b, r"\frac{1}{2}")]
    made = verdicts(task, items)
    assert {b: v.status for b, v in zip(bad, made[::2], strict=True)} == bad
    assert [v.status for v in made[1::2]] == ["correct"] * len(bad)


def test_a_pattern_that_backtracks_is_ended() -> None:
    settings = {"type": "file", "test": {"file": "t.json"}, "format": {"type": "regex", "pattern": "is ((?:a+)+)b"}}
    task = TASKS["file"].model_validate(settings | {"judge": {"type": "exact"}, "judge_limits": {"timeout_s": SECONDS}})
    aa = Example("", "", "aa")
    items: list[Item] = [item(text, aa) for text in ("is aab", "is " + "a" * 40, "is aab", "is ab", "none")]
    assert [v.status for v in verdicts(task, items)] == ["correct", "timeout", "correct", "wrong", "unparsed"]


def test_what_is_sure_to_end_is_judged_here() -> None:
    task = TASKS["units"].model_validate({"type": "units", "test": {"generate": 1}})
    assert not task.guarded
    children = {p.pid for p in psutil.Process().children(recursive=True)}
    items: list[Item] = [
        item("<answer>5</answer>", FIVE),
        item("x", FIVE, "length"),
        item("<answer>6</answer>", FIVE),
    ]
    assert [v.status for v in verdicts(task, items)] == ["correct", "truncated", "wrong"]
    assert {p.pid for p in psutil.Process().children(recursive=True)} == children
    exact = TASKS["file"].model_validate({"type": "file", "test": {"file": "t.json"}, "judge": {"type": "exact"}})
    [long] = verdicts(exact, [item(f"<answer>{'x' * 10_000}</answer>", Example("", "", "y"))])
    assert long == Verdict("wrong", "x" * 2_000)


def test_limits_are_part_of_the_key_only_where_they_hold(own: Task) -> None:
    units = {"type": "units", "test": {"generate": 1}}
    slow = units | {"judge_limits": {"timeout_s": 9}}
    assert TASKS["units"].model_validate(units).judging() == TASKS["units"].model_validate(slow).judging()
    assert own.judging()["limits"] == {"timeout_s": SECONDS, "memory_mb": 1024}


def test_a_judge_that_does_not_start_says_so() -> None:
    def prepare() -> None:
        raise ValueError("no such table")

    guard = Guard(lambda: Verdict("correct"), prepare, JudgeLimits())
    with pytest.raises(StageError, match="does not start"):
        guard.judge([()])
    guard.close()


# A script without `if __name__ == "__main__"`: it must not be run again, and its judge must not outlive it.
SCRIPT = """
import sys, time
from orchestrator.recipe.recipe import load_recipe
from orchestrator.tasks.judging import item, verdicts
from orchestrator.types import Example
print("once", flush=True)
task = load_recipe("r.yaml").task
five = Example("", "", "5")
verdicts(task, [item("say 5", five)])
print("started", flush=True)
verdicts(task, [item(sys.argv[1], five)])
print("done", flush=True)
"""


def test_a_script_is_not_run_again_and_leaves_nothing_behind(own: Task) -> None:
    Path("script.py").write_text(SCRIPT)
    for text, told in (("say 5", ""), ("print", "past Python\n")):  # not in the script's own output
        done = subprocess.run([sys.executable, "script.py", text], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["once", "started", "done"], told)


@pytest.mark.parametrize("text", ["sleep", "loop", "hold the interpreter"])
def test_the_process_dies_with_its_parent(own: Task, text: str) -> None:
    Path("script.py").write_text(SCRIPT)
    Path("r.yaml").write_text(RECIPE % 2)
    script = subprocess.Popen([sys.executable, "script.py", text], stdout=subprocess.PIPE, text=True)
    assert script.stdout is not None
    assert [script.stdout.readline().strip() for _ in range(2)] == ["once", "started"]
    time.sleep(1)
    children = psutil.Process(script.pid).children(recursive=True)
    assert any(child.name().startswith("python") for child in children)
    os.kill(script.pid, signal.SIGKILL)
    script.wait()
    script.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
