"""The command line: verbs only. Arguments are parsed before anything heavy is imported."""

import json
import os
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

from orchestrator.errors import InputError, OrchError
from orchestrator.exporting import Dtype
from orchestrator.terminal_text import plain

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

RunArgument = Annotated[
    str, typer.Argument(help="A run's id or its beginning; `last` for the newest.", show_default=False)
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Of a run of several seeds: which one; default: its first.")
]
ModelOption = Annotated[str | None, typer.Option(help="Which model of the run; default: its last.")]
Merged = Annotated[bool, typer.Option("--merged", help="Whole weights, the adapter merged into its base.")]
StoredAs = Annotated[Dtype, typer.Option("--dtype", help="Of whole weights; auto: what is computed in here.")]


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
    """Show the stages of a recipe, what each needs, which are made already, how long the others take. Runs nothing."""
    _quiet()
    from dataclasses import asdict

    from rich.console import Console

    from orchestrator.planning import forecasts, needs
    from orchestrator.planning import plan as make_plan
    from orchestrator.recipe import load_recipe
    from orchestrator.screen import show_plan

    made = make_plan(load_recipe(recipe, overrides or ()))
    expected = forecasts(made)
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
                "seeds": made.seeds_of(s),
                "forecast": asdict(expected[s.key]) if s.key in expected else None,
            }
            for s in made.stages
        ]
        print(json.dumps({"recipe": made.recipe.source, "key": made.key, "stages": stages}))
    else:
        show_plan(Console(), made, expected)


@app.command()
def check(recipe: RecipeArgument, overrides: Overrides = None, as_json: Json = False) -> None:
    """Look for what would make the numbers wrong, before anything is spent. Trains nothing; seconds, on any CPU.

    Gold answers, prompts, labels, lengths, overlap with the test, LoRA targets, sizes. Ends with 3 on an error.
    """
    _quiet()
    from dataclasses import asdict

    from rich.console import Console

    from orchestrator.checking import check as look
    from orchestrator.finding_screen import show_findings, show_rows, show_summary
    from orchestrator.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    console = Console(stderr=as_json)
    with console.status("looking") if console.is_terminal else nullcontext():
        report = look(loaded)
    show_rows(console, report.rows)
    show_findings(console, report.findings)
    show_summary(console, report.findings, str(recipe))
    if as_json:
        print(json.dumps({"recipe": str(recipe), "findings": [asdict(f) for f in report.findings]}))
    if report.errors:
        raise typer.Exit(3)


@app.command()
def diagnose(
    run: Annotated[
        str | None, typer.Argument(help="A run's id or its beginning, `last` (the default), or a model folder.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="With a model folder: the recipe to look at it under.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model of the run; may be given again.")] = None,
    seed: SeedOption = None,
    questions: Annotated[int, typer.Option(min=1, help="Test questions for a model that was not evaluated.")] = 100,
    html: Annotated[Path | None, typer.Option(help="Write the page here too.")] = None,
    as_json: Json = False,
) -> None:
    """Name what went wrong with a run or a model, the likeliest cause first, with evidence and what to do.

    Looks at files, curves, labels, generations, decoding, and asks the model itself. The page also becomes an artifact
    of the run. Ends with 3 where something is wrong.
    """
    _quiet()
    from rich.console import Console

    from orchestrator.diagnosing import diagnose as look
    from orchestrator.finding_screen import show_diagnosis

    console = Console(stderr=as_json)
    with console.status("looking") if console.is_terminal else nullcontext():
        found, page = look(_one_seed(console, run or "last", seed), recipe, model, questions)
    if html is not None:
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--html {html}: cannot be written ({error.strerror})") from None
    show_diagnosis(console, found)
    if as_json:
        print(json.dumps(found.as_json()))
    if found.sick:
        raise typer.Exit(3)


@app.command()
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Run ids or their beginnings, `last` (the default), or recipe files."),
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Compare the models of all runs of this experiment.")] = None,
    baseline: Annotated[str | None, typer.Option(help="What the others are compared with; default: SFT.")] = None,
    on: Annotated[str | None, typer.Option(help="A further split (evaluate.also) instead of the test.")] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row a model on stdout; the table goes to stderr.")] = False,
) -> None:
    """Compare models: did it help? Intervals, paired tests, wins and losses, cost, and the answer in plain words.

    The models of a run, of several runs or of an experiment; runs that differ in their seed alone are put together.
    Ends with 2 where models were not asked the same questions, or not judged alike.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv both say what goes to stdout: keep one of them")
    _quiet()
    from rich.console import Console

    from orchestrator.comparing import compare as look
    from orchestrator.comparison import conclusions
    from orchestrator.comparison_screen import as_csv as rows_of
    from orchestrator.comparison_screen import show_comparison

    console = Console(stderr=as_json or as_csv)
    with console.status("reading the store") if console.is_terminal else nullcontext():
        found = look(*(runs or ()), experiment=experiment, baseline=baseline, on=on)
    show_comparison(console, found)
    if as_json:
        print(json.dumps(found.as_json() | {"conclusions": conclusions(found)}))
    if as_csv:
        print(rows_of(found), end="")


@app.command()
def judge(
    file: Annotated[Path, typer.Argument(help="JSONL, JSON, CSV, parquet: a completion a row.", show_default=False)],
    overrides: Overrides = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Judge as this recipe does; without one: format.* and judge.* settings.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the completions.")] = "text",
    answer: Annotated[str, typer.Option(help="Column of the gold answers.")] = "answer",
    question: Annotated[str, typer.Option(help="Column of the questions, if there is one.")] = "question",
    out: Annotated[Path | None, typer.Option(help="Write verdicts here, parquet, one row per row in order.")] = None,
    as_json: Json = False,
) -> None:
    """Judge completions made anywhere: accuracy with its interval, answer rate, and a count for each status.

    Without a recipe: orch judge FILE format.type=boxed judge.type=math
    """
    _quiet()
    from rich.console import Console

    from orchestrator.finding_screen import show_metrics
    from orchestrator.judging_file import CompletionColumns, judge_file, judged_by
    from orchestrator.recipe import load_recipe, load_task

    task = load_recipe(recipe, overrides or ()).task if recipe is not None else load_task(overrides or ())
    columns = CompletionColumns(text=text, answer=answer, question=question)
    console = Console(stderr=as_json)
    with console.status("judging") if console.is_terminal else nullcontext():
        judged = judge_file(file, task, columns)
    if out is not None:
        judged.write(out)
    show_metrics(console, judged.metrics(), judged_by(task))
    if as_json:
        print(json.dumps(judged.metrics()))


@app.command()
def ask(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning; `last` for the newest.", show_default=False)],
    question: Annotated[str, typer.Argument(help="What to ask.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="Which model of the run; default: its last.")] = None,
    seed: SeedOption = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Default: as in the recipe's evaluation.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a model of a run one question: the exact prompt, the raw text, the parsed answer."""
    _quiet()
    from rich.console import Console

    from orchestrator.asking import ask as put
    from orchestrator.finding_screen import show_asked

    console = Console(stderr=as_json)
    with console.status("asking") if console.is_terminal else nullcontext():
        asked = put(_one_seed(console, run, seed), question, model, max_tokens)
    show_asked(console, asked)
    if as_json:
        print(json.dumps(asked.as_json()))


@app.command()
def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="Where to write it: new, or empty.", show_default=False)],
    model: ModelOption = None,
    seed: SeedOption = None,
    merged: Merged = False,
    dtype: StoredAs = "auto",
    bundle: Annotated[bool, typer.Option("--bundle", help="Also one zip beside it, FOLDER.zip.")] = False,
    bundle_mb: Annotated[
        float | None, typer.Option(min=0, help="Its size limit; default: the recipe's limits.bundle_mb.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model of a run as a folder that plain transformers and peft load, with a card that says how.

    Adapter or merged weights, tokenizer, answer format, figures. Such a folder can be another recipe's model.name.
    """
    _quiet()
    from rich.console import Console

    from orchestrator.exporting import export as write
    from orchestrator.model_screen import show_exported

    console = Console(stderr=as_json)
    with console.status("exporting") if console.is_terminal else nullcontext():
        made = write(
            _one_seed(console, run, seed), folder, model, merged=merged, dtype=dtype, bundle=bundle, bundle_mb=bundle_mb
        )
    show_exported(console, made)
    if as_json:
        print(json.dumps(made.as_json()))


@app.command()
def push(
    run: Annotated[
        str, typer.Argument(help="A run's id, its beginning, `last`, or an exported folder.", show_default=False)
    ],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub.", show_default=False)],
    model: ModelOption = None,
    seed: SeedOption = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    merged: Merged = False,
    dtype: StoredAs = "auto",
    as_json: Json = False,
) -> None:
    """Upload a model of a run, or an exported folder, to the Hugging Face Hub. Needs a token (hf auth login)."""
    _quiet()
    from rich.console import Console

    from orchestrator.model_screen import show_pushed
    from orchestrator.pushing import push as upload

    console = Console(stderr=as_json)
    with console.status("uploading") if console.is_terminal else nullcontext():
        done = upload(_one_seed(console, run, seed), repo, model, private=private, merged=merged, dtype=dtype)
    show_pushed(console, done)
    if as_json:
        print(json.dumps(done.as_json()))


@app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's id or its beginning; `last` (the default) for the newest.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the page here too: one file, to be passed around.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Make it again, also where it is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Tell a run on one HTML page: conclusion, accuracy, each question, curves, draws, completions, recipe.

    `orch run` makes it at its end; here it is shown, and made where it is missing. It needs no network. Its figures are
    there as PNG and SVG too. Both are artifacts of the run in MLflow: report.html, figures/.
    """
    _quiet()
    from rich.console import Console

    from orchestrator.report_screen import open_page, show_report
    from orchestrator.reporting import report as make

    console = Console(stderr=as_json)
    with console.status("making the page") if console.is_terminal else nullcontext():
        made = make(run, out, anew=anew)
    show_report(console, made)
    if as_json:
        print(json.dumps(made.as_json()))
    if open_it:
        open_page(made.page)


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
            print(f"orch: {plain(problem)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("orch: interrupted", file=sys.stderr)
        sys.exit(130)


def _one_seed(console: "Console", run: str, seed: int | None) -> str:
    """The run of one seed, where a run of several is named; which one is told unless it was asked for."""
    with suppress(OSError, RuntimeError):  # too long for a path, or no such user's home: no folder
        if Path(run).expanduser().is_dir():
            return run
    from orchestrator.past_run import seed_of

    run_id, found, seeds = seed_of(run, seed)
    if seeds and seed is None:
        listed = ", ".join(map(str, seeds))
        console.print(f"a run of the seeds {listed}: this is seed {found}, --seed names another", style="dim")
    return run_id


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
