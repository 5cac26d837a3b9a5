"""Verbs for recipes: init, run, sweep, rerun, plan, check, schema."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import (
    Address,
    Json,
    Overrides,
    RecipeArgument,
    RunArgument,
    SweepOverrides,
    Trust,
    begins,
    busy,
)

if TYPE_CHECKING:
    from orchestrator.recipe.recipe import Recipe


def init(
    name: Annotated[str | None, typer.Argument(help="A shipped recipe to copy.", show_default=False)] = None,
    data: Annotated[
        Path | None, typer.Option(help="File with your questions and answers: CSV, JSON, JSONL, parquet.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model to train: tiny, a folder, or a Hub id.")] = "tiny",
    test: Annotated[Path | None, typer.Option(help="File with test questions; default: hold out some rows.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write the recipe to.")] = None,
    question: Annotated[str | None, typer.Option(help="Column with the question, if it cannot be guessed.")] = None,
    answer: Annotated[str | None, typer.Option(help="Column with the gold answer.")] = None,
    solution: Annotated[str | None, typer.Option(help="Column with the worked solution.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the shipped recipes.")] = False,
    as_json: Json = False,
) -> None:
    """Write a recipe to start from: one for your own data file, or a copy of a shipped one.

    Columns, judge and answer format are guessed from your file; the recipe gives the reason for each choice.

    orch init --data my.csv --model Qwen/Qwen2.5-0.5B-Instruct
    orch init --list
    orch init gsm8k
    """
    from rich.console import Console

    from orchestrator.cli.show.init import show_begun, show_shipped
    from orchestrator.commands.init import copy_shipped, shipped
    from orchestrator.commands.init import init as write
    from orchestrator.errors import InputError

    if (name is not None) + (data is not None) + listed != 1:
        raise InputError(
            "name a shipped recipe to copy, or your file with --data FILE, or list the shipped ones with --list"
        )
    console = Console(stderr=as_json)
    if listed:
        show_shipped(console, shipped())
        if as_json:
            print(json.dumps({"recipes": shipped()}))
        return
    made = copy_shipped(str(name), out) if data is None else write(data, model, test, out, question, answer, solution)
    show_begun(console, made)
    if as_json:
        print(json.dumps({"recipe": str(made.recipe), "choices": [list(one) for one in made.reasons]}))


def run(recipe: RecipeArgument, overrides: Overrides = None, address: Address = None, as_json: Json = False) -> None:
    """Run a recipe: train, sample, select and evaluate whatever is not done yet.

    Stages that an earlier run has finished are reused; a run that was killed resumes where it stopped.
    """
    started = time.monotonic()
    from orchestrator.recipe.recipe import load_recipe

    _run(load_recipe(recipe, overrides or ()), started, as_json)


def _run(loaded: "Recipe", started: float, as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=as_json)
    begins(console, loaded.name)
    from orchestrator.cli.show.live import RunScreen
    from orchestrator.cli.show.run import show_result

    with busy(console, "reading the store"):
        from orchestrator.commands.run import run as execute
    screen = RunScreen(console, loaded.name, started)
    with screen.showing():
        result = execute(loaded, screen)
    show_result(console, result, time.monotonic() - started, loaded.name)
    if as_json:
        print(json.dumps(result.as_json()))
    if result.errors:
        raise typer.Exit(1)


def sweep(
    recipe: RecipeArgument, overrides: SweepOverrides = None, address: Address = None, as_json: Json = False
) -> None:
    """Try many variants of a recipe and find the best; each stage that trials share runs only once.

    The recipe's `sweep` block lists what to try, or name the values here:
    orch sweep recipes/sweep.yaml stages.rft.learning_rate=1e-3,4e-3

    The winner is chosen on the validation split and then tested once, next to
    the recipe's own values. The same command resumes a stopped sweep.
    """
    started = time.monotonic()
    from orchestrator.recipe.recipe import load_sweep

    _sweep(load_sweep(recipe, overrides or ()), started, as_json)


def _sweep(loaded: "Recipe", started: float, as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=as_json)
    begins(console, loaded.name)
    from orchestrator.cli.show.sweep import SweepScreen, show_sweep

    with busy(console, "reading the store"):
        from orchestrator.commands.sweep import sweep as execute
    screen = SweepScreen(console, loaded.name, started)
    with screen.showing():
        result = execute(loaded, screen)
    show_sweep(console, result, time.monotonic() - started)
    if as_json:
        print(json.dumps(result.as_json()))
    if result.errors:
        raise typer.Exit(1)


def rerun(run: RunArgument = "last", trust: Trust = False, address: Address = None, as_json: Json = False) -> None:
    """Run a past run or sweep again with the same recipe and overrides; one that was stopped is resumed.

    Finished stages are reused. Data files are read from their original paths, so start it in the same folder.
    """
    started = time.monotonic()
    from orchestrator.commands.rerun import recipe_of

    loaded = recipe_of(run, trust=trust)
    (_run if loaded.sweep is None else _sweep)(loaded, started, as_json)


def plan(
    recipe: RecipeArgument,
    overrides: SweepOverrides = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Instead, print the recipe with every default written out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the stages of a recipe: what each needs, which are cached, how long the others will take. Runs nothing.

    If the recipe has a `sweep`, or a setting has several values, also shows the trials and what they share.
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from orchestrator.cli.show.run import show_plan
    from orchestrator.commands.clean import much_work
    from orchestrator.commands.plan import forecasts, needs, planned_sweep, will_not_fit
    from orchestrator.commands.plan import plan as make_plan
    from orchestrator.plan.plan import TrialsPlan
    from orchestrator.recipe.recipe import load_sweep
    from orchestrator.text import plain

    loaded = load_sweep(recipe, overrides or ())
    if resolved:
        from orchestrator.commands.plan import written_out

        print(
            json.dumps({"recipe": loaded.resolved()}) if as_json else written_out(loaded), end="\n" if as_json else ""
        )
        return
    made = make_plan(loaded)
    swept = None if loaded.sweep is None else planned_sweep(loaded)
    expected = forecasts(made)
    if as_json:
        sharing = made.sharing() if isinstance(made, TrialsPlan) else {}
        stages = [
            {
                "name": s.name,
                "verb": s.verb,
                "key": s.key,
                "inputs": list(s.reads),
                "needs": needs(s),
                "cached": s.cached is not None,
                "drawn": s.drawn,
                "run_id": s.cached,
                "trials": [dict(trial.label) for trial in sharing.get(s.key, ())],
                "forecast": asdict(expected[s.key]) if s.key in expected else None,
            }
            for s in made.stages
        ]
        told: dict[str, Any] = {"recipe": made.recipe.source, "key": made.key, "stages": stages}
        told["will_not_fit"] = will_not_fit(made)
        if swept is not None:
            from orchestrator.cli.show.sweep import sweep_json

            told["sweep"] = sweep_json(swept)
        print(json.dumps(told))
    else:
        console = Console()
        show_plan(console, made, expected)
        for why in will_not_fit(made):
            console.print(Text.assemble(("! ", "yellow"), plain(f"it would not run here: {why}")), soft_wrap=True)
        if swept is not None:
            from orchestrator.cli.show.sweep import show_planned

            show_planned(console, swept)
        if (much := much_work(made.recipe.work_folder)) is not None:
            console.print(Text(plain(much), style="yellow"), soft_wrap=True)


def check(recipe: RecipeArgument, overrides: Overrides = None, as_json: Json = False) -> None:
    """Look for mistakes that would make the numbers wrong, before you pay for a run. Takes seconds on any CPU.

    Checks gold answers, prompts, labels, lengths, overlap with the test split, LoRA targets and sizes. Trains nothing.
    Exits with 3 if it finds an error.
    """
    from dataclasses import asdict

    from rich.console import Console

    from orchestrator.cli.show.findings import show_findings, show_rows, show_summary
    from orchestrator.commands.check import check as look
    from orchestrator.recipe.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    console = Console(stderr=as_json)
    with busy(console, "checking"):
        report = look(loaded)
    show_rows(console, report.rows)
    show_findings(console, report.findings)
    show_summary(console, report.findings, str(recipe))
    if as_json:
        print(json.dumps({"recipe": str(recipe), "findings": [asdict(f) for f in report.findings]}))
    if report.errors:
        raise typer.Exit(3)


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page to read instead: docs/reference.md.")
    ] = False,
) -> None:
    """Print every key that a recipe may have, as a JSON Schema that lets editors complete and check recipes.

    orch schema > recipe.schema.json, then as the first line of a recipe:
    # yaml-language-server: $schema=recipe.schema.json
    """
    if markdown:
        from orchestrator.recipe.reference import reference

        print(reference(), end="")
    else:
        from orchestrator.recipe.json_schema import recipe_schema

        print(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
