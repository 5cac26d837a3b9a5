"""The display of a sweep: lines or a live table while it runs, the standings, the plan."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.simulated import CountingStore, cluster
from orchestrator.cli.show.sweep import SweepScreen, show_planned, show_sweep, sweep_json
from orchestrator.commands.sweep import carry_out
from orchestrator.results import SweepResult
from orchestrator.runs.work import WorkFolder
from orchestrator.sweeps.planned import planned
from orchestrator.sweeps.variants import Variants
from tests.support.sweeps import answers, variants

RATES = "parameters:\n  stages.rft.learning_rate: [1e-3, 2e-3, 3e-3]"


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def plain_console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width)


def swept(tried: Variants, folder: Path, screen: Any = lambda search, states: None) -> SweepResult:
    machines = cluster(2, 0.05, answers(lambda settings: 0.3 + 100 * settings["learning_rate"], 0))
    return carry_out(tried, CountingStore(folder / "store"), WorkFolder(folder / "work"), machines, screen, ())


def test_without_a_terminal_each_trial_has_a_line_when_it_begins_and_when_it_ends(
    tmp_path: Path, at_noon: None
) -> None:
    console = plain_console(200)
    screen = SweepScreen(console)
    with screen.showing():
        screen(None, [])
        found = swept(variants(tmp_path, RATES), tmp_path, screen)
    lines = shown(console).splitlines()
    assert lines[0] == f"12:00:00  run {found.run_id}"
    assert lines[1] == "12:00:00  trial 0    running  (rft.learning_rate = 0.001)"
    assert sum(" complete  accuracy 0." in line for line in lines) == len(found.trials) == 3
    assert lines[-2:] == [
        "12:00:00  testing the proposed trial and the recipe's own values",
        "12:00:00  comparing the trials and writing the report",
    ]


def test_on_a_terminal_a_table_says_how_far_it_is(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    screen = SweepScreen(console)
    with screen.showing():
        swept(variants(tmp_path, RATES), tmp_path, screen)
        console.print(screen._shown())
    text = shown(console)
    assert "3 of 3 trials started: 3 complete" in text and "best so far: trial 2, accuracy 0." in text
    assert "GPUs busy: 0 of 2" in text


@pytest.mark.parametrize("width", [80, 200])
def test_the_standings_keep_trial_accuracy_and_mark_at_any_width(width: int, tmp_path: Path) -> None:
    names = ["weight_decay", "adam_beta2", "max_grad_norm", "gradient_accumulation_steps"]
    more = "".join(f"\n  stages.rft.{name}: [1, 2]" for name in names[2:]) if width == 80 else ""
    found = swept(variants(tmp_path, RATES + more), tmp_path)
    console = plain_console(width)
    show_sweep(console, found, 12.0)
    text = shown(console)
    assert found.best is not None
    [row] = [line for line in text.splitlines() if line.rstrip().endswith("proposed")]
    assert row.split()[0] == str(found.best["number"]) and " 0." in row and "…" not in row
    assert ("settings" in text) == (width == 80)
    assert "What explains" not in text or "hardly more than a guess" in text or len(found.trials) >= 10
    assert f"{len(found.trials)} trials, " in text and "12.0 s in all" in text


def test_a_plan_lists_what_each_trial_runs_and_what_they_share(tmp_path: Path) -> None:
    made = planned(variants(tmp_path, RATES), None, ())
    console = plain_console()
    show_planned(console, made)
    text = shown(console)
    assert "Sweep (grid) by rft/accuracy on validation" in text
    assert "sft, rft, evaluate.rft" in text and "3 trials: 9 stages instead of 11, 0 cached, 9 to run" in text
    assert "No estimate" in text
    told = sweep_json(made)
    assert told["stages"] == {"asked": 11, "distinct": 9, "cached": 0} and len(told["trials"]) == 3
    tpe = planned(
        variants(tmp_path, "method: tpe\nrun_cap: 40\n" + RATES.replace("[1e-3, 2e-3, 3e-3]", "{min: 0.1, max: 0.9}")),
        None,
        (),
    )
    console = plain_console()
    show_planned(console, tpe)
    assert "and 10 more" in shown(console) and "tpe proposes as results come in" in shown(console)
