"""The command line of `orch`: verbs only. Arguments are parsed before anything heavy is imported."""

import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli import answers, models, recipes, results, storage
from orchestrator.cli.help import ByPurpose
from orchestrator.cli.submit import submit
from orchestrator.errors import OrchError
from orchestrator.text import plain, write_in_any_encoding

app = typer.Typer(
    help="Rejection-sampling fine-tuning experiments from one YAML recipe: SFT, sampling, RFT and GRPO, all "
    "evaluated the same way and compared side by side in MLflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to load than everything else that `orch --help` needs
    cls=ByPurpose,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: orch run recipes/rft.yaml (takes minutes on any CPU), then orch ui. "
    "Help for a command: orch COMMAND --help.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib import metadata  # importing it takes a tenth of the time of `orch --help`

        print(f"orch {metadata.version('orch-rft')}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Write a recipe": (recipes.init, recipes.schema),
    "Before a run": (recipes.plan, recipes.check),
    "Run": (recipes.run, recipes.sweep, submit, recipes.rerun, results.logs),
    "Results": (results.runs, results.compare, results.diagnose, results.report, results.ui),
    "Models": (answers.ask, answers.judge, answers.rejudge, models.export, models.push),
    "Disk space": (storage.clean,),
}
"""The verbs by purpose, in the order in which `--help` lists them."""
for _purpose, _verbs in VERBS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_purpose)(_verb)


def main() -> None:
    """Entry point of `orch`: print each error meant for the user as one line, and exit with its code."""
    _quiet()
    write_in_any_encoding(*(stream for stream in (sys.stdout, sys.stderr) if stream is not None))
    try:
        app(prog_name="orch", standalone_mode=True)
    except OrchError as error:
        for problem in error.problems:
            print(_at_words(f"orch: {plain(problem)}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("orch: interrupted", file=sys.stderr)
        sys.exit(130)


def _at_words(line: str) -> str:
    """On a terminal, wrap a line between words; the terminal itself would break it in the middle of a word."""
    if not sys.stderr.isatty():
        return line
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)


def _quiet() -> None:
    """Keep libraries' own messages off the user's screen; orch itself reports what matters."""
    warnings.filterwarnings("ignore")
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads would take the core from the thread they wait for
        "DISABLE_MLFLOW_INTEGRATION": "TRUE",  # else each training worker imports MLflow, but writes nothing to it
    }.items():
        os.environ.setdefault(name, value)
