"""The display during a run: the live table at the usual widths, plain lines without a terminal."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.show.live import RunScreen
from orchestrator.cli.show.run_table import run_table
from orchestrator.errors import Interrupted, OrchError
from orchestrator.plan.plan import Stage
from orchestrator.runs.state import Phase, RunState, StageState, State
from orchestrator.stages.base import Verb
from orchestrator.stages.evaluate import Evaluate
from orchestrator.stages.sample import Sample
from orchestrator.stages.sft import Sft
from tests.conftest import REPOSITORY, SMALL, call, command, environment
from tests.support.terminal import Terminal

NASTY = "[bold red]x[/] [/] [link=http://a]b [0] :smile: \\"
NOW = 10_000.0
WHY = "CUDA out of memory: tried to allocate 20.00 GiB, of which 3.12 GiB are free; lower the batch size or so"
TRAINS, ASKS, DRAWS = Sft(type="sft"), Evaluate(), Sample(type="sample", model="sft")


def state(name: str = "sft", spec: Verb = TRAINS, **fields: Any) -> StageState:
    return StageState(Stage(name, spec.verb, spec, "k" * 32, (), name), **fields)


def at_work(name: str, spec: Verb, since: float, **fields: Any) -> StageState:
    return state(name, spec, state="running", at_work=True, started=NOW - since, **fields)


def every_state() -> list[StageState]:
    return [
        state("warmup", state="cached", figure="reused"),
        state("sft", state="done", seconds=75.0, figure="loss 0.512"),
        at_work("samples", DRAWS, 130, done=1_234, total=12_000, expected=2_400.0),
        at_work("grpo", TRAINS, 50, done=20, total=40, expected=100.0, figure="reward 0.612"),
        at_work("rloo", TRAINS, 3),
        at_work("evaluate.sft", ASKS, 90, done=500, total=500),
        state("evaluate.base", ASKS, state="running", total=500),
        state("chosen"),
        state("rft", expected=110.0),
        state("dpo", state="failed", seconds=30, done=12, total=40, figure=WHY),
        state("kto", state="stopped", seconds=14.2, done=3, total=40),
        state("evaluate.dpo", ASKS, state="skipped", figure="needs dpo"),
    ]


def run(states: list[StageState], **fields: Any) -> RunState:
    setup = Phase("set-up", "done", seconds=21.4)
    return RunState("small", stages=states, setup=setup, began=NOW - 200, **fields)


def lines(shown: RunState, width: int, height: int | None = None, failures: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    console.print(run_table(shown, width, height, shown.began, failures))
    assert isinstance(console.file, io.StringIO)
    found = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert all(len(line) <= width for line in found)
    return found


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: NOW)


AT_80 = """\
stage          state                                           elapsed  expected
set-up         ✓ finished                                       21.4 s
warmup         = reused
sft            ✓ finished     loss 0.512                          1:15
samples        ▶ running      ━─────────── 1,234/12,000 draws     2:10    ~40:00
grpo           ▶ running      ━━━━━━━━──────── 20/40 steps      50.0 s     ~1:40
rloo           ▶ running      starting                           3.0 s
evaluate.sft   ▶ running      ━━━━━ 500/500 questions, saving     1:30
evaluate.base  · waiting      for a free worker
chosen         · waiting
rft            · waiting                                                   ~1:50
dpo            ✗ failed       at 12/40 steps                    30.0 s
kto            - interrupted  at 3/40 steps                     14.2 s
evaluate.dpo   - skipped      needs dpo
results        · waiting
in all                        4 of 12 stages                      3:20    >43:50
✗ dpo: CUDA out of memory: tried to allocate 20.00 GiB, of which 3.12 GiB are
free; lower the batch size or so"""
AT_120 = """\
stage          state                                                        elapsed  expected
set-up         ✓ finished                                                    21.4 s
warmup         = reused
sft            ✓ finished     loss 0.512                                       1:15
samples        ▶ running      ━─────────────── 1,234/12,000 draws              2:10    ~40:00
grpo           ▶ running      ━━━━━━━━──────── 20/40 steps  reward 0.612     50.0 s     ~1:40
rloo           ▶ running      starting                                        3.0 s
evaluate.sft   ▶ running      ━━━━━━━━━━━━━━━━ 500/500 questions, saving       1:30
evaluate.base  · waiting      for a free worker
chosen         · waiting
rft            · waiting                                                                ~1:50
dpo            ✗ failed       at 12/40 steps                                 30.0 s
kto            - interrupted  at 3/40 steps                                  14.2 s
evaluate.dpo   - skipped      needs dpo
results        · waiting
in all                        4 of 12 stages                                   3:20    >43:50
✗ dpo: CUDA out of memory: tried to allocate 20.00 GiB, of which 3.12 GiB are free; lower the batch size or so"""


@pytest.mark.parametrize(("width", "wanted"), [(80, AT_80), (120, AT_120)])
def test_every_state_at_the_usual_widths(width: int, wanted: str, now: None) -> None:
    assert "\n".join(lines(run(every_state()), width)) == wanted


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_name_is_whole_and_so_is_every_state(width: int, now: None) -> None:
    states = every_state()
    for place, one in enumerate(states):
        one.stage = replace(one.stage, name=f"evaluate.a_model_trained_on_a_mixture_of_sets_{place:02}")
    found = lines(run(states), width)
    names = "".join(line[: line.find("  ")] if "  " in line else line for line in found)
    assert all(one.stage.name in names for one in states)
    for word, count in {"waiting": 4, "running": 4, "reused": 1, "interrupted": 1, "skipped": 1, "failed": 1}.items():
        assert sum(f" {word}" in line for line in found if line[0] != "✗") == count


def test_before_the_first_stage_and_after_the_last(now: None) -> None:
    shown = run([])
    shown.setup = Phase("set-up", "running", "reading the store", NOW - 2)
    _, setup, results, in_all = lines(shown, 80)
    assert setup.split() == ["set-up", "▶", "running", "reading", "the", "store", "2.0", "s"]
    assert results.split() == ["results", "·", "waiting"] and in_all.split() == ["in", "all", "3:20"]
    shown = run([state(state="done", seconds=3.0)], results=Phase("results", "running", "writing the report", NOW - 5))
    assert lines(shown, 80)[-2].split() == ["results", "▶", "running", "writing", "the", "report", "5.0", "s"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [12, 23, 49])
@pytest.mark.parametrize("failed", [0, 1, 5])
def test_more_stages_than_lines(width: int, height: int, failed: int, now: None) -> None:
    states = [state(f"done-{i}", state="done", seconds=1.0, figure="loss 0.1") for i in range(20)]
    states += [state(f"failed-{i}", state="failed", figure=f"{i} {WHY}") for i in range(failed)]
    states += [at_work("now-a", TRAINS, 5), *(state(f"later-{i}") for i in range(20)), at_work("now-b", TRAINS, 5)]
    found = lines(run(states), width, height)
    assert len(found) <= height and found[0].startswith("stage") and any(line.startswith("in all") for line in found)
    assert sum("▶ running" in line for line in found) == 2, "running stages are always shown"
    more = [line for line in found if line[0].isdigit()]
    listed = sum(line.startswith(("done-", "failed-", "now-", "later-")) for line in found)
    assert sum(int(line.split()[0]) for line in more) == len(states) - listed and len(more) <= 1
    assert any(line.startswith("done-19") for line in found) or height == 12
    assert len(lines(run(states), width)) > len(states), "at the end every stage is shown"


def test_the_same_failure_of_many_trials_is_said_once(now: None) -> None:
    states = [
        state(name, state="failed", figure=WHY, trial=f"seed {s}") for s in range(9) for name in ("sft", "chosen")
    ]
    found = lines(run(states), 80, 23)
    assert next(line for line in found if line.startswith("✗ ")).startswith("✗ sft (9 times): CUDA out of memory")
    assert sum("CUDA" in line for line in found) == 2 and len(found) <= 23


def test_stages_that_run_side_by_side_are_not_added_up(now: None) -> None:
    """Two stages of 100 s, half of each done in 50 s, and two more of the same kind to come."""
    states = [at_work(name, TRAINS, 50, expected=100.0) for name in "ab"] + [state(n, expected=100.0) for n in "cd"]
    shown = run(states)
    shown._walked = (NOW - 50, NOW)
    assert shown.left == (150.0, True)
    states[3].expected = None
    assert shown.left == (100.0, False)


@pytest.mark.parametrize(("before", "seconds"), [(0, 100.0), (30, 20.0)])
def test_its_own_pace_goes_before_what_past_runs_say(
    before: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a killed training resumes from a step in the middle."""
    one = at_work("sft", TRAINS, 10, expected=500.0)
    monkeypatch.setattr("time.monotonic", lambda: NOW)
    one.progress(before, 60)
    assert one.left == 490.0
    monkeypatch.setattr("time.monotonic", lambda: NOW + (seconds / (60 - before)) * 20)
    one.progress(before + 20, 60)
    assert one.left == pytest.approx(seconds / (60 - before) * (40 - before))


# --- plain lines


def plain(monkeypatch: pytest.MonkeyPatch) -> tuple[RunScreen, io.StringIO, Any]:
    """A screen without a terminal, its output, and its clock, which can be set."""
    written = io.StringIO()
    clock = [NOW]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return RunScreen(Console(file=written, width=80, _environ={}), "small"), written, clock


def test_plain_lines_of_a_run(at_noon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, written, clock = plain(monkeypatch)
    shown = RunState("small", screen)
    one, other = state("sft", expected=200.0), state("evaluate.base", ASKS)
    with screen.showing(), shown.watched():
        shown.set_up("reading the store")  # already reported by `begins`
        shown.set_up("starting Ray")
        shown.run_id = "f" * 32
        shown.walked([one, other])
        one.state = other.state = "running"
        shown.walked([one, other])
        one.begun()
        for clock[0] in range(int(NOW), int(NOW) + 121):
            one.progress(int(clock[0] - NOW), 200)
            one.figure = "loss 0.5"
            shown.walked([one, other])
        one.state, one.seconds, one.figure = "done", 121.0, "loss 0.512"
        other.state = "cached"
        shown.walked([one, other])
        shown.conclude("writing the report")
    assert written.getvalue().splitlines() == [
        "12:00:00  small: starting Ray",
        f"12:00:00  run {'f' * 32}",
        "12:00:00  sft                running, expected to take 3:20",
        "12:00:00  sft                running, 50/200 steps, loss 0.5, 50.0 s so far, about 2:30 left",
        "12:00:00  sft                running, 100/200 steps, loss 0.5, 1:40 so far, about 1:40 left",
        "12:00:00  sft                finished in 2:01, loss 0.512",
        "12:00:00  evaluate.base      reused",
        "12:00:00  small: comparing the models",
        "12:00:00  small: writing the report",
    ]


def test_many_long_stages_make_a_few_lines_a_minute(at_noon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, written, clock = plain(monkeypatch)
    states = [at_work(f"trial-{i}", TRAINS, 0) for i in range(40)]
    shown = run(states)
    screen(shown)
    begun = len(written.getvalue().splitlines())
    for second in range(1, 601):
        clock[0] = NOW + second
        screen(shown)
    assert begun == 40 and 10 <= len(written.getvalue().splitlines()) - begun <= 60
    assert "12:00:00  and 37 more running" in written.getvalue()


@pytest.mark.parametrize(
    ("error", "ended"), [(KeyboardInterrupt(), "stopped"), (Interrupted("x"), "stopped"), (OrchError("x"), "failed")]
)
def test_however_it_ends_nothing_is_left_running(
    error: BaseException, ended: str, at_noon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, written, _ = plain(monkeypatch)
    shown = RunState("small", screen)
    with pytest.raises(type(error)), shown.watched():
        shown.set_up("starting Ray")
        raise error
    assert shown.setup.state == ended and shown.results.state == "waiting"
    assert written.getvalue() == "12:00:00  small: starting Ray\n", "the problem is reported once, by the error"
    one = at_work("sft", TRAINS, 5, total=40, done=12)
    screen, written, _ = plain(monkeypatch)
    shown = run([one, queued := state("rft", state="running")], watcher=screen)
    with pytest.raises(KeyboardInterrupt), shown.watched():
        screen(shown)
        for each in (one, queued):
            each.given_up()
        raise KeyboardInterrupt
    assert written.getvalue().splitlines()[-1] == "12:00:00  sft                interrupted at 12/40 steps"
    assert (one.seconds, queued.state) == (5.0, "waiting")


def test_a_plain_line_is_one_line_and_shows_text_as_it_is(at_noon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, written, _ = plain(monkeypatch)
    error = f"{NASTY} " + "long " * 60
    screen(run([state(state="failed", figure=error), state("b", state="skipped", figure="needs sft")]))
    failed, skipped = written.getvalue().splitlines()
    assert failed == f"12:00:00  sft                failed: {error}"
    assert skipped == "12:00:00  b                  skipped, needs sft"


# --- on a terminal

PROGRAM = """
import sys, time
from rich.console import Console
from orchestrator.cli.show.live import RunScreen
from orchestrator.types import Finding
from tests.cli import test_live as t

states = [t.state(f"stage-{i:02}") for i in range(30)]
screen = RunScreen(Console(), "small")
run = t.RunState("small", screen)
run.setup.at("starting Ray")
with screen.showing():
    with run.watched():
        run.walked(states)
        for i, one in enumerate(states):
            one.state = "running"
            one.begun()
            one.progress(0, 4)
            if i == 3:
                one.findings.append(Finding("odd-thing", "warning", "stage-03: look at it", "", "", ""))
            run.walked(states)
            time.sleep(0.06)
            one.state, one.seconds, one.figure = "done", 1.0, "loss 0.5"
            if i == 7 and "fail" in sys.argv:
                one.state, one.figure = "failed", t.WHY
        run.run_id = "done"
        if "stop" in sys.argv:
            states[-1].state = "running"
            run.walked(states)
            print("READY", flush=True)
            time.sleep(60)
        run.walked(states)
print("the end")
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_a_real_terminal_shows_one_table_that_is_redrawn(columns: int, tmp_path: Path) -> None:
    env = environment() | {"PYTHONPATH": str(REPOSITORY)}
    terminal = Terminal([sys.executable, "-c", PROGRAM, "fail"], tmp_path, env, columns, 24)
    assert terminal.ended() == 0, terminal.shown
    shown = terminal.shown.splitlines()
    assert sum(line.startswith("stage     ") for line in shown) == 1, "no frame is left behind"
    assert sum(line.startswith("stage-") for line in shown) == 30, "at the end every stage is shown"
    assert [line for line in shown if "odd-thing" in line] == ["! odd-thing: stage-03: look at it"]
    assert shown[-1] == "the end" and any(line.startswith("stage-07  ✗ failed") for line in shown)


@pytest.mark.parametrize("fails", [(), ("fail",)])
def test_a_table_on_a_real_terminal_never_scrolls_and_stays_after_ctrl_c(
    fails: tuple[str, ...], tmp_path: Path
) -> None:
    env = environment() | {"PYTHONPATH": str(REPOSITORY)}
    terminal = Terminal([sys.executable, "-c", PROGRAM, "stop", *fails], tmp_path, env)

    def ready(shown: str) -> bool:
        table = shown.rpartition("stage     ")[2].splitlines()
        assert len(table) <= 24, "it never scrolls"
        return "READY" in shown and any("stage-29" in line for line in table)

    terminal.wait_for(ready)
    terminal.press(b"\x03")
    assert terminal.ended() != 0
    shown = terminal.shown
    assert ("✗ stage-07: CUDA out of memory" in shown) == bool(fails), "nothing else reports why it failed"
    assert sum(line.startswith("stage     ") for line in shown.splitlines()) == 1


def test_words_of_all_states_have_room() -> None:
    from orchestrator.cli.show.parts import LOOK, marked
    from orchestrator.cli.show.run_table import _STATE

    states: list[State] = list(LOOK)
    assert all(len(marked(one)) <= _STATE for one in states)


def test_an_error_on_a_terminal_is_broken_between_words(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(SMALL.read_text())
    wrong = "stages.rft.max_step=3"
    terminal = Terminal(command("plan", "r.yaml", wrong), tmp_path, environment() | {"PYTHONPATH": str(REPOSITORY)})
    assert terminal.ended() == 2, terminal.shown
    one_line = call(tmp_path, "plan", "r.yaml", wrong).err.strip()
    lines = terminal.shown.strip().splitlines()
    assert one_line.count("\n") == 0 and len(lines) > 1 and max(map(len, lines)) <= 80
    assert " ".join(lines) == one_line
