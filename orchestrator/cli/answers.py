"""Verbs for answers: judge, rejudge, ask."""

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Overrides, RunArgument, SeedOption, Trust, busy, one_seed


def judge(
    file: Annotated[
        Path, typer.Argument(help="JSONL, JSON, CSV, parquet: one completion per row.", show_default=False)
    ],
    overrides: Overrides = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Judge as this recipe does; without it, give format.* and judge.* settings.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column with the completions: text, messages, lists of draws.")] = "text",
    answer: Annotated[str, typer.Option(help="Column with the gold answers.")] = "answer",
    question: Annotated[str, typer.Option(help="Column with the questions, if there is one.")] = "question",
    out: Annotated[
        Path | None, typer.Option(help="Write verdicts to this parquet file, one row per completion, in order.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge completions from any source: accuracy with its interval, answer rate, and a count for each status.

    Without a recipe: orch judge FILE format.type=boxed judge.type=math
    """
    from rich.console import Console
    from rich.text import Text

    from orchestrator.cli.show.findings import show_metrics, show_written
    from orchestrator.commands.judge import CompletionColumns, judge_file
    from orchestrator.errors import InputError
    from orchestrator.recipe.recipe import load_recipe, load_task
    from orchestrator.tasks.judged_by import judged_by
    from orchestrator.tasks.tolerance import fitted
    from orchestrator.text import plain

    if out is not None and out.suffix not in ("", ".parquet"):
        raise InputError(
            f"--out {out}: verdicts are written as parquet; name the file {out.stem or 'verdicts'}.parquet"
        )
    if recipe is not None:
        task, _ = fitted(load_recipe(recipe, overrides or ()).task)
    else:
        task = load_task(overrides or ())
    columns = CompletionColumns(text=text, answer=answer, question=question)
    console = Console(stderr=as_json)
    with busy(console, "judging"):
        judged = judge_file(file, task, columns)
    if out is not None:
        judged.write(out)
    show_metrics(console, judged.metrics(), judged_by(task))
    if judged.problems:
        bad, n = len(judged.problems), len(judged.rows)
        what = f"{bad:,} of {n:,} rows cannot be judged (counted as not correct); the first:"
        console.print(Text.assemble((what, "yellow"), f" {plain(judged.problems[0])}"), soft_wrap=True)
    for note in judged.notes:
        console.print(Text.assemble(("! ", "yellow"), plain(note)), soft_wrap=True)
    if out is not None:
        show_written(console, "verdicts", out)
    if as_json:
        print(json.dumps(judged.metrics() | ({"notes": judged.notes} if judged.notes else {})))


def rejudge(
    run: RunArgument = "last",
    overrides: Overrides = None,
    seed: SeedOption = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Judge a run's stored completions with other settings: accuracy before and now, and the verdicts that change.

    Nothing is sampled and nothing is stored. For a looser tolerance: orch rejudge last task.judge.tolerance=0.01

    For a whole run judged this way, give `orch run` the same settings: it reuses the existing completions.
    """
    from rich.console import Console

    from orchestrator.cli.show.rejudging import show_rejudging
    from orchestrator.commands.rejudge import rejudge as judge_again

    if "=" in run:  # only settings: use the newest run
        run, overrides = "last", [run, *(overrides or ())]
    console = Console(stderr=as_json)
    with busy(console, "judging"):
        found = judge_again(one_seed(console, run, seed), overrides or (), trust=trust)
    show_rejudging(console, found)
    if as_json:
        print(json.dumps(found.as_json()))


def ask(
    run: RunArgument,
    question: Annotated[str, typer.Argument(help="The question to ask.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="Which model of the run; default: the last.")] = None,
    seed: SeedOption = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum tokens of the answer; default: evaluate.max_tokens.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Ask a model of a run one question: shows the exact prompt, the raw text and the parsed answer."""
    from rich.console import Console

    from orchestrator.cli.show.findings import show_asked
    from orchestrator.commands.ask import ask as put

    console = Console(stderr=as_json)
    with busy(console, "asking"):
        asked = put(one_seed(console, run, seed), question, model, max_tokens, trust=trust)
    show_asked(console, asked)
    if as_json:
        print(json.dumps(asked.as_json()))
