"""The display on the narrowest usual terminal, and without a terminal."""

import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.show.run import show_plan, show_result
from orchestrator.commands.plan import needs
from orchestrator.errors import RecipeError
from orchestrator.plan.plan import compile_plan
from orchestrator.recipe.recipe import load_recipe
from orchestrator.results import Difference, Evaluation, ModelResult, RunResult


def console(width: int = 80, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, _environ={})


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


NASTY = "[bold red]x[/] [/] [link=http://a]b [0] :smile: \\"


# --- the comparison


def result(names: tuple[str, ...] = ("base", "sft", "rft", "grpo"), **fields: object) -> RunResult:
    models = tuple(
        ModelResult(name, 0.1 * n, 0.1 * n - 0.013, 0.1 * n + 0.017, 0.987, 500) for n, name in enumerate(names, 2)
    )
    against = tuple(
        Difference(name, names[1], -0.123, -0.456, -0.078, 0.0004, 1, 2) for name in names if name != names[1]
    )
    stages = tuple(
        {"name": name, "state": "done", "cached": False, "seconds": 12345.6}
        for name in (*names, f"evaluate.{names[0]}")
    )
    settings = {"run_id": "f" * 32, "experiment": "test", "models": models, "stages": stages, "differences": against}
    return RunResult(**(settings | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("long", ["grpo", "a-model-with-a-name-of-forty-characters-x"[:40]])
@pytest.mark.parametrize("baseline", ["sft", "another-model-with-a-name-of-forty-chars"])
def test_every_figure_is_shown_at_80_columns(long: str, baseline: str) -> None:
    shown = console()
    given = result(("base", baseline, "rft", long))
    show_result(shown, given, 3600.0)
    lines = text(shown).splitlines()
    assert all(len(line) <= 80 for line in lines)
    for m in given.models:
        figures = f"{m.accuracy:.3f} [{m.accuracy_low:.3f}, {m.accuracy_high:.3f}]"
        [(above, line)] = [(above, line) for above, line in pairwise(lines) if figures in line]
        assert line.startswith(f"{m.model} ") or above == m.model
        assert "0.987" in line
        if m.model == baseline:
            assert "-0.123" not in line
        else:
            assert "-0.123 [-0.456, -0.078]" in line and "< 0.001" in line
        assert "12345.6" in line or "24691.2" in line
    for name in (long, baseline):  # a long name is neither cut off nor wrapped: it has a line of its own
        assert any(line == name or line.startswith(f"{name} ") for line in lines)
    assert "500 questions, the same for every model" in text(shown)
    assert "1:00:00 in all" in text(shown) and "f" * 32 in text(shown)


def test_a_further_split_has_a_table_of_its_own_where_it_was_asked_for() -> None:
    models = tuple(ModelResult(name, 0.04, 0.02, 0.06, 0.9, 321) for name in ("sft", "rft"))
    took = {"name": "evaluate.rft.longer", "state": "done", "cached": False, "seconds": 77.7}
    given = result()
    also = (Evaluation("longer", models, (Difference("rft", "sft", 0.002, -0.01, 0.02, 0.5, 1, 2),)),)
    shown, plain = console(), console()
    show_result(shown, result(stages=(*given.stages, took), also=also), 1.0)
    show_result(plain, result(stages=(*given.stages, took)), 1.0)
    first, _, second = text(shown).partition("500 questions, the same for every model")
    assert first == text(plain).partition("500 questions")[0], "the comparison is unchanged"
    lines = second.splitlines()
    assert sum("0.040 [0.020, 0.060]" in line and "0.900" in line for line in lines) == 2
    assert any("+0.002 [-0.010, +0.020]" in line and " 0.50 " in line and "77.7" in line for line in lines)
    assert "321 questions of longer, the same for every model" in second
    assert all(len(line) <= 80 for line in lines) and "longer" not in text(plain)


def test_what_was_reused_is_said() -> None:
    shown = console()
    cached = tuple(
        {"name": n, "state": "cached", "cached": True, "seconds": 0.0} for n in ("base", "sft", "rft", "grpo")
    )
    show_result(shown, result(stages=cached), 0.25)
    assert "test: 4 of 4 stages reused, 0 run, 0.2 s in all" in text(shown)
    assert text(shown).count("reused") == 5


def test_names_and_errors_are_shown_as_they_are() -> None:
    shown = console(width=200)
    show_result(shown, result(("base", NASTY), experiment=NASTY, errors=(f"stage 'sft' failed: {NASTY}",)), 1.0)
    assert text(shown).count(NASTY) == 3
    assert f"{NASTY}: " in text(shown)


def test_a_run_in_which_nothing_was_evaluated() -> None:
    shown = console()
    show_result(shown, result(models=(), differences=(), errors=("stage 'sft' failed: " + "long " * 40,)), 1.0)
    assert "stage 'sft' failed: " + "long " * 40 in text(shown), "an error is one line"
    assert "questions, the same" not in text(shown)


def test_the_first_line_of_times() -> None:
    shown = console()
    for seconds in (0.04, 59.94, 60.0, 61.4, 3599.6, 7325.0):
        show_result(shown, result(models=(), differences=()), seconds)
    assert re.findall(r"run, (.*) in all", text(shown)) == ["0.0 s", "59.9 s", "1:00", "1:01", "1:00:00", "2:02:05"]


def test_a_report_is_told_by_its_path_or_where_it_is_elsewhere_by_the_command(tmp_path: Path) -> None:
    here = tmp_path / "report.html"
    here.touch()
    for lies, told in ((str(here), str(here)), ("s3://there/report.html", f"orch report {'f' * 32} --open")):
        shown = console()
        show_result(shown, result(report=lies), 1.0)
        assert f"One page to pass around:  {told}\n" in text(shown), "one line, whatever its length"
    shown = console()
    show_result(shown, result(), 1.0)
    assert "pass around" not in text(shown)


# --- the plan

RECIPE = """\
name: test
task: {type: units, demonstrations: {generate: 3}, train: {generate: 3}, test: {generate: 2}}
model: {name: NAME}
stages:
  sft: {type: sft}
  samples: {type: sample, model: sft}
  chosen: {type: select, from: samples}
  rft-with-a-rather-long-name: {type: sft, data: chosen}
"""


def test_a_plan_fits_and_shows_names_as_they_are() -> None:
    folder = Path("[red] models :smile:") / ("x" * 30)
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    Path("r.yaml").write_text(RECIPE.replace("NAME", f"'{folder}'"))
    plan = compile_plan(load_recipe("r.yaml"))
    plan = plan.with_cached({plan.stage("sft").key: "run-1"})
    shown = console()
    show_plan(shown, plan)
    lines = text(shown).splitlines()
    assert all(len(line) <= 80 for line in lines)
    for stage in plan.stages:
        [line] = [line for line in lines if line.startswith(f"{stage.name} ")]
        assert line.rstrip().endswith("cached" if stage.name == "sft" else "to run ?")
    assert "a wider terminal also shows: key, needs" in text(shown)
    assert "6 of 7 stages to run" in text(shown)
    wide = console(width=300)
    show_plan(wide, plan)
    for stage in plan.stages:
        [line] = [line for line in text(wide).splitlines() if stage.key[:8] in line]
        assert line.startswith(f"{stage.name} ") and needs(stage) in line and ", ".join(stage.inputs) in line
    assert "wider" not in text(wide)
    assert str(folder) in text(wide)
    show_plan(wide, plan.with_cached({stage.key: "r" for stage in plan.stages}))
    assert "Nothing to run: every stage is cached." in text(wide)


def test_a_problem_of_a_recipe_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.yaml").write_text(RECIPE.replace("chosen:", f"'{NASTY}':"))
    with pytest.raises(RecipeError) as caught:
        load_recipe("r.yaml")
    assert NASTY in str(caught.value)
