"""A recipe's settings outside of its blocks for task, model and stages: name, seeds, storage, limits. Schemas only."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from orchestrator.recipe.check_names import CHECKS
from orchestrator.recipe.paths import is_url
from orchestrator.schema import Fraction, NonNegative, OneOrMore, PositiveFloat, Spec, unknown

WATCHED = (
    "loss-not-finite",
    "gradient-not-finite",
    "learning-rate-zero",
    "weights-unmoved",
    "loss-too-low",
    "loss-too-high",
    "draws-identical",
    "groups-alike",
    "completions-clipped",
    "answer-rate-zero",
)
"""The warnings watched for while a recipe runs (training/watch.py)."""

_NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that control a terminal or a page instead of being displayed."""
_JOINERS = "\u200c\u200d"
"""Exceptions: these two are part of the spelling of words and emoji."""
_ONE_SLASH = re.compile(r"[a-z][a-z0-9+]+:/(?!/)")
"""The beginning of a file system's URL that lacks a slash."""
_LONGEST = 255
"""Maximum bytes in a folder's name."""


def _folder_or_url(value: object) -> object:
    if not isinstance(value, str):
        if isinstance(value, Path) or value is None:
            return value
        raise ValueError("must be a folder, or a URL such as s3://bucket/work")
    if _ONE_SLASH.match(value):
        raise ValueError(f"a URL has two slashes after its colon: write {value.replace(':/', '://', 1)}")
    if not is_url(value):
        return Path(value)
    scheme, _, place = value.partition("://")
    if not place.strip("/"):
        raise ValueError(f"{value} names no location: add one, such as {scheme}://bucket/work")
    if scheme in ("file", "local") and not place.startswith("/"):
        raise ValueError(f"the path of {value} is not absolute: write {scheme}:///{place}, or name a folder")
    return value


Storage = Annotated[Path | str, BeforeValidator(_folder_or_url)]
"""A folder as a `Path`, or a URL as text."""


class Limits(Spec):
    """Limits that a recipe must stay within, and warnings that end it early. They do not affect any output."""

    adapter_mb: PositiveFloat = 20
    """Maximum size of an adapter on disk, in MB."""
    bundle_mb: PositiveFloat = 100
    """Maximum size of an exported bundle (`orch export --bundle`), in MB."""
    difference: Fraction = 0.1
    """The smallest difference in accuracy that you hope to detect: the test set must be large enough to show it."""
    stop_on: Annotated[tuple[str, ...], OneOrMore] = ()
    """Warnings that end a running stage, such as `loss-not-finite`; `all` stands for all of them."""
    wait_for_store: NonNegative = 15
    """Minutes that a run waits for a store that has stopped responding before it gives up."""
    ignore: Annotated[tuple[str, ...], OneOrMore] = ()
    """Checks whose findings are only reported, such as `test-in-training`: they block nothing and end nothing."""

    @property
    def ends_on(self) -> tuple[str, ...]:
        """The warnings that end a running stage: `stop_on` without the ignored ones."""
        named = WATCHED if "all" in self.stop_on else self.stop_on
        return tuple(name for name in named if name not in self.ignore)

    @field_validator("stop_on")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in (*WATCHED, "all"):
                raise ValueError(f"unknown warning {name!r} (choices: all, {', '.join(WATCHED)})")
        return value

    @field_validator("ignore")
    @classmethod
    def _checks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in CHECKS:
                raise ValueError(unknown("check", name, CHECKS))
        return value


Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""The range of NumPy's seeds."""


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds; raises ValueError if one is listed twice."""
    twice = [seed for seed, times in Counter(seeds).items() if times > 1]
    if twice:
        raise ValueError(f"seed {twice[0]} is listed twice")
    return seeds


def _listed(seeds: object) -> object:
    """The seeds as written; raises ValueError if they are not a list."""
    if not isinstance(seeds, list | tuple):
        raise ValueError(f"must be a list of seeds, such as [0, 1, 2], not {seeds!r}")
    return seeds


Seeds = Annotated[
    tuple[Seed, ...],
    Field(min_length=1),
    AfterValidator(_distinct),
    BeforeValidator(_listed, json_schema_input_type=tuple[Seed, ...]),
]
"""Several distinct seeds."""


class Head(Spec):
    """The top-level settings of a recipe."""

    name: str = Field(min_length=1, max_length=200)
    """The name of the MLflow experiment."""
    seed: Seed = 0
    """Seed for training and sampling; the questions have their own, `task.seed`."""
    seeds: Seeds | None = None
    """Several seeds instead of `seed`: the stages run once per seed, and figures are averaged over the seeds."""
    storage: Storage | None = None
    """Folder for work in progress; default: `work` beside the MLflow store. The machines of a cluster may share it or
    each have their own. If it is a URL, such as s3://bucket/work, a copy is also kept there, so that a run can continue
    elsewhere if this machine is lost."""
    allow_format_change: bool = False
    """Allow a model to be used with a different answer format than it was trained with; every report then says so."""
    limits: Limits = Limits()
    """Limits that the recipe must stay within, and warnings that end it early; they do not affect any output."""

    @property
    def work_folder(self) -> Path | None:
        """The folder that `storage` names; None if it names none or a URL."""
        return self.storage if isinstance(self.storage, Path) else None

    @property
    def work_url(self) -> str | None:
        """The URL that `storage` names; None if it names none or a folder."""
        return self.storage if isinstance(self.storage, str) else None

    @field_validator("name")
    @classmethod
    def _shown(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank: write a name")
        odd = next((c for c in value if category(c) in _NOT_SHOWN and c not in _JOINERS), None)
        if odd is not None:
            raise ValueError(f"contains {odd!r}, which cannot be displayed: use letters, digits and symbols")
        return value

    @field_validator("storage")
    @classmethod
    def _possible(cls, value: Path | str | None) -> Path | str | None:
        for part in value.parts if isinstance(value, Path) else ():
            if "\0" in part:
                raise ValueError("contains a NUL character, which no path can: remove it")
            if (size := len(os.fsencode(part))) > _LONGEST:
                raise ValueError(f"{part[:40]!r}... has {size} bytes; a folder's name has at most {_LONGEST}")
        return value
