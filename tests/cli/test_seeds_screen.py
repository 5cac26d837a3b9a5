"""The display of several seeds on the narrowest usual terminal."""

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.cli.show.live import RunScreen
from orchestrator.cli.show.run import show_result
from orchestrator.cli.show.seeds import trials_table
from orchestrator.plan.plan import Stage
from orchestrator.results import DifferenceOverSeeds, EvaluationOverSeeds, ModelOverSeeds, SeedsResult
from orchestrator.runs.state import RunState, StageState
from orchestrator.stages.sft import Sft


def console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None, _environ={})


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def state(name: str, seed: int, **fields: object) -> StageState:
    return StageState(Stage(name, "sft", Sft(type="sft"), "k" * 32, (), name), trial=f"seed {seed}", **fields)  # type: ignore[arg-type]


def states(seeds: int) -> list[StageState]:
    """The first seed has finished SFT, the second is running it, the last has failed; the base was evaluated once."""
    found = []
    for seed in range(seeds):
        sft: dict[str, object] = {"state": "waiting"}
        if seed == 0:
            sft = {"state": "done", "figure": "loss 0.055"}
        elif seed == seeds - 1:
            sft = {"state": "failed", "figure": "its worker process died: " + "long " * 40}
        elif seed == 1:
            sft = {"state": "running", "done": 40, "total": 90, "started": time.monotonic() - 75, "at_work": True}
        found.append(state("sft", seed, **sft))
        base: dict[str, object] = {"state": "cached", "figure": "as seed 0"} if seed else {"state": "done"}
        found.append(state("evaluate.base", seed, **base))
    return found


def shown_table(seeds: int, width: int = 80) -> list[str]:
    shown = console(width)
    shown.print(trials_table(states(seeds), width))
    lines = [line.rstrip() for line in text(shown).splitlines()]
    assert all(len(line) <= width for line in lines)
    return lines


def test_a_few_seeds_stand_beside_each_other_with_their_figures() -> None:
    head, sft, base = shown_table(3)
    assert head.split() == ["stage", "seed", "0", "seed", "1", "seed", "2"]
    assert sft.startswith("sft            ✓ loss 0.055") and "▶ 44% 1:15" in sft and sft.endswith("✗ failed")
    assert base.count("= as seed 0") == 2


def test_more_seeds_are_marks_alone() -> None:
    head, sft, base, legend = shown_table(7)
    marks = "· waiting  ▶ running  ✓ finished  = reused  ✗ failed"
    assert legend.strip().replace("\u00a0", " ") == marks
    assert head.split() == ["stage", "/", "seed", *"0123456"]
    assert sft.split() == ["sft", "✓", "▶", "44%", "·", "·", "·", "·", "✗"]
    assert base.split() == ["evaluate.base", "✓", *"======"]


@pytest.mark.parametrize("seeds", [12, 500])
def test_seeds_that_have_no_room_are_counted(seeds: int) -> None:
    head, sft, base = shown_table(seeds)
    assert head == f"stage          {seeds} seeds"
    assert sft.split(maxsplit=1)[1] == f"{seeds - 3} waiting, 1 running, 1 finished, 1 failed"
    assert base.split(maxsplit=1)[1] == f"1 finished, {seeds - 1} reused"


def test_plain_lines_name_the_seed(at_noon: None) -> None:
    shown = console()
    screen = RunScreen(shown)
    one, other = state("sft", 0, state="running", at_work=True), state("sft", 1)
    screen(run := RunState("units", stages=[one, other]))
    one.state, one.seconds, other.state = "done", 2.0, "running"
    screen(run)
    other.at_work = True
    screen(run)
    assert text(shown).splitlines() == [
        "12:00:00  seed 0  sft        running",
        "12:00:00  seed 0  sft        finished in 2.0 s",
        "12:00:00  seed 1  sft        running",
    ]


MODEL = ModelOverSeeds("rft", (0, 1, 2), (0.8, 0.82, 0.84), 0.82, 0.02, 0.771, 0.861, 0.991, 1500, False)
BASE = replace(MODEL, model="base", accuracies=(0.1,) * 3, accuracy_mean=0.1, accuracy_sd=None, shared=True)
GAP = DifferenceOverSeeds("rft", "sft", (0, 1, 2), (0.1, 0.2, 0.15), 0.15, 0.081, 0.219, 0.0004)


def result(**fields: object) -> SeedsResult:
    models = (BASE, replace(MODEL, model="sft", accuracy_mean=0.67), MODEL)
    made = SeedsResult("top", "units", (0, 1, 2), models, (GAP,), ())
    return replace(made, conclusions=("RFT is better than SFT.",), **fields)  # type: ignore[arg-type]


def test_means_with_their_intervals_fit_the_narrowest_terminal() -> None:
    shown = console()
    show_result(shown, result(), 61.0)
    lines = text(shown).splitlines()
    assert all(len(line) <= 80 for line in lines)
    [rft] = [line for line in lines if line.startswith("rft")]
    figures = ["rft", "0.820 [0.771, 0.861]", "0.020", "0.991", "+0.150 [+0.081, +0.219]", "< 0.001"]
    assert re.split(r" {2,}", rft.strip()) == figures
    assert "seeds 0, 1, 2; 1,500 questions, the same for all models" in text(shown)
    assert "base: the same with every seed" in text(shown) and "RFT is better than SFT." in text(shown)


def test_a_model_that_some_seed_lacks_says_so_and_errors_name_their_seed() -> None:
    shown = console()
    lacking = replace(MODEL, seeds=(0, 2), accuracies=(0.8, 0.84))
    show_result(shown, result(models=(BASE, lacking), differences=(), errors=("seed 1: stage 'rft' failed: why",)), 1.0)
    assert "rft: seeds 0, 2 only" in text(shown) and "seed 1: stage 'rft' failed: why" in text(shown)


def test_further_splits_have_a_table_of_their_own() -> None:
    shown = console()
    longer = EvaluationOverSeeds("longer", (replace(MODEL, accuracy_mean=0.31),), (), ())
    show_result(shown, result(also=(longer,)), 1.0)
    assert "1,500 questions of longer" in text(shown) and "0.310 [0.771" in text(shown)


def test_seeds_that_came_to_nothing_leave_the_errors() -> None:
    shown = console()
    show_result(shown, SeedsResult("top", "units", (0, 1), (), (), (), errors=("seed 0: why", "seed 1: why")), 1.0)
    assert "seed 0: why" in text(shown) and "seed 1: why" in text(shown)
