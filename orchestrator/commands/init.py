"""`init` as a function: a recipe to start from, written for the user's own data file or copied from a shipped one."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.recipe.drafting.draft import draft
from orchestrator.recipe.drafting.guess import guess
from orchestrator.recipe.recipe import parse_recipe
from orchestrator.schema import unknown

_SHIPPED = Path(__file__).parent.parent / "shipped"
"""The shipped recipes, as package data."""
SCHEMA = "recipe.schema.json"
_DATA = re.compile(r"file: (data/[\w.-]+)")
"""Matches a data file that a shipped recipe reads."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A recipe that has been written."""

    recipe: Path
    reasons: tuple[tuple[str, str, str], ...]
    """For each choice: its subject, the value chosen, and why; empty for a copied recipe."""
    also: tuple[Path, ...] = ()
    """Files written alongside: the recipe's data, and the schema for editors."""


def shipped() -> dict[str, str]:
    """The shipped recipes: a one-line description by name."""
    return {file.stem: _headline(file) for file in sorted(_SHIPPED.glob("*.yaml"))}


def copy_shipped(name: str, to: Path | None = None) -> Begun:
    """Copy a shipped recipe, with its data, into the current folder or to a given file.

    Raises:
        InputError: there is no such recipe, or a file of that name already exists.
    """
    name = name.removesuffix(".yaml")
    if name not in shipped():
        raise InputError(unknown("recipe", name, shipped()))
    made = _free(to or Path(f"{name}.yaml"))
    text = (_SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    copied = []
    for path in dict.fromkeys(_DATA.findall(text)):
        beside = made.parent / path
        beside.parent.mkdir(parents=True, exist_ok=True)
        if not beside.exists():
            shutil.copyfile(_SHIPPED / path, beside)
        copied.append(beside)
        text = text.replace(f"recipes/{path}", str(beside))  # in comments
    made.write_text(text.replace(f"recipes/{name}.yaml", str(made)), encoding="utf-8")
    return Begun(made, (), (*copied, *_schema(made)))


def init(
    data: Path,
    model: str = "tiny",
    test: Path | None = None,
    to: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    solution: str | None = None,
) -> Begun:
    """Inspect a file of questions and answers, and write a recipe for it.

    Args:
        data: JSON, JSONL, CSV or parquet.
        test: a file with the test questions; without it, some rows of `data` are held out.
        to: the recipe's file; default: named after `data`, in the current folder.
        question, answer, solution: column names, if they cannot be guessed.

    Raises:
        InputError: the file cannot be used, or the recipe's file already exists.
    """
    if not model.strip():
        raise InputError("--model: is empty; name tiny, a folder, or a Hub id")
    named = {"question": question, "answer": answer, "demonstration": solution}
    name = re.sub(r"[^\w-]+", "-", data.stem).strip("-") or "mine"
    made = _free(to or Path(f"{name}.yaml"))
    guesses = guess(data, {role: column for role, column in named.items() if column})
    found = draft(name, data, guesses, model, test, made.parent)
    parse_recipe(found.text, str(made))  # make sure that it loads
    made.write_text(found.text, encoding="utf-8")
    return Begun(made, found.reasons, _schema(made))


def _schema(made: Path) -> tuple[Path, ...]:
    """Copy the schema that a recipe names next to it, unless it is there; returns the files written."""
    beside = made.with_name(SCHEMA)
    if beside.exists():
        return ()
    shutil.copyfile(_SHIPPED / SCHEMA, beside)
    return (beside,)


def _free(file: Path) -> Path:
    if file.exists():
        raise InputError(f"{file}: already exists; name another with --out FILE, or remove it")
    if not file.parent.is_dir():
        raise InputError(f"{file}: there is no folder {file.parent}")
    return file


def _headline(file: Path) -> str:
    """The first line of a recipe's header."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    return next(line.removeprefix("# ") for line in lines if "yaml-language-server" not in line)
