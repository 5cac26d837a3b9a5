"""The command line: verbs only. Arguments are parsed before anything heavy is imported."""

import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import OrchError

app = typer.Typer(
    help="Rejection-sampling fine-tuning experiments from one YAML recipe: SFT, sampling, RFT and GRPO, evaluated the "
    "same way and side by side in MLflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: [bold]orch run recipes/rft.yaml[/] (minutes, on any CPU), then [bold]orch ui[/].",
)

RecipeArgument = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings to change, as stages.rft.learning_rate=1e-4 or 'task.train={file: my.json}'.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; progress goes to stderr.")]


@app.command()
def run(recipe: RecipeArgument, overrides: Overrides = None, as_json: Json = False) -> None:
    """Run a recipe: train, sample, select and evaluate whatever is not made already.

    Stages that an earlier run has finished are reused; a run that was killed goes on where it was.
    """
    started = time.monotonic()
    _quiet()
    from rich.console import Console

    from orchestrator.recipe import load_recipe
    from orchestrator.screen import RunScreen, show_result

    loaded = load_recipe(recipe, overrides or ())
    console = Console(stderr=as_json)
    with console.status("reading the store") if console.is_terminal else nullcontext():
        from orchestrator.execute import run as execute
    screen = RunScreen(console)
    with screen.showing():
        result = execute(loaded, screen)
    show_result(console, result, time.monotonic() - started)
    if as_json:
        print(json.dumps(result.as_json()))
    if result.errors:
        raise typer.Exit(1)


@app.command()
def plan(recipe: RecipeArgument, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show the stages of a recipe, what each needs, and which are made already. Runs nothing."""
    _quiet()
    from rich.console import Console

    from orchestrator.planning import needs
    from orchestrator.planning import plan as make_plan
    from orchestrator.recipe import load_recipe
    from orchestrator.screen import show_plan

    made = make_plan(load_recipe(recipe, overrides or ()))
    if as_json:
        stages = [
            {
                "name": s.name,
                "verb": s.verb,
                "key": s.key,
                "inputs": list(s.inputs),
                "needs": needs(s),
                "cached": s.cached is not None,
                "run_id": s.cached,
            }
            for s in made.stages
        ]
        print(json.dumps({"recipe": made.recipe.source, "key": made.key, "stages": stages}))
    else:
        show_plan(Console(), made, {s.name: needs(s) for s in made.stages})


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI on the store that `orch run` writes to (MLFLOW_TRACKING_URI, else ./mlruns)."""
    from orchestrator.ui import serve

    serve(host, port)


def main() -> None:
    """Entry point of `orch`: errors meant for the user become one line each and an exit code."""
    try:
        app(standalone_mode=True)
    except OrchError as error:
        for problem in error.problems:
            print(f"orch: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("orch: interrupted", file=sys.stderr)
        sys.exit(130)


def _quiet() -> None:
    """Keep libraries' own messages off the user's screen; what matters is said by orch."""
    import warnings

    warnings.filterwarnings("ignore")
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONWARNINGS": "ignore",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
