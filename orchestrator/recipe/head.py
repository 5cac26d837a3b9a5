"""What a recipe says beside its task and its stages: its name, seeds, model and limits. Schemas only."""

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
"""What is watched for while a recipe runs (training/watch.py)."""

_NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that steer a terminal or a page instead of standing in it."""
_JOINERS = "\u200c\u200d"
"""But these two belong to the spelling of words, and of emoji."""
_ONE_SLASH = re.compile(r"[a-z][a-z0-9+]+:/(?!/)")
"""How the URL of a file system begins that lacks a slash."""
_LONGEST = 255
"""Bytes of a folder's name."""


def _folder_or_url(value: object) -> object:
    if not isinstance(value, str):
        if isinstance(value, Path) or value is None:
            return value
        raise ValueError("must be a folder, or a URL such as s3://bucket/work")
    if _ONE_SLASH.match(value):
        raise ValueError(f"a URL has two slashes behind its colon: write {value.replace(':/', '://', 1)}")
    if not is_url(value):
        return Path(value)
    scheme, _, place = value.partition("://")
    if not place.strip("/"):
        raise ValueError(f"{value} names no place: write one behind it, such as {scheme}://bucket/work")
    if scheme in ("file", "local") and not place.startswith("/"):
        raise ValueError(f"the path of {value} is not absolute: write {scheme}:///{place}, or name a folder")
    return value


Storage = Annotated[Path | str, BeforeValidator(_folder_or_url)]
"""A folder as a `Path`, a URL as it is."""


class Limits(Spec):
    """What a recipe must stay within, and what ends it early. None of it changes what is made."""

    adapter_mb: PositiveFloat = 20
    """Megabytes of an adapter on disk."""
    bundle_mb: PositiveFloat = 100
    """Megabytes of an exported bundle (`orch export --bundle`)."""
    difference: Fraction = 0.1
    """The difference in accuracy one hopes to see: the test set has to be large enough to show it."""
    stop_on: Annotated[tuple[str, ...], OneOrMore] = ()
    """Warnings that end a stage that is running, such as `loss-not-finite`; `all` for every one of them."""
    wait_for_store: NonNegative = 15
    """Minutes that a run waits for a store that has stopped answering, before it ends."""
    ignore: Annotated[tuple[str, ...], OneOrMore] = ()
    """Checks whose findings are only told, such as `test-in-training`: they refuse nothing and end nothing."""

    @property
    def ends_on(self) -> tuple[str, ...]:
        """What ends a stage that is running: `stop_on` without what is ignored."""
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
"""As far as NumPy's go."""


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds; raises ValueError where one is listed twice."""
    twice = [seed for seed, times in Counter(seeds).items() if times > 1]
    if twice:
        raise ValueError(f"seed {twice[0]} is listed twice")
    return seeds


def _listed(seeds: object) -> object:
    """What is written as seeds; raises ValueError where it is no list."""
    if not isinstance(seeds, list | tuple):
        raise ValueError(f"must be a list of seeds, such as [0, 1, 2], not {seeds!r}")
    return seeds


Seeds = Annotated[
    tuple[Seed, ...],
    Field(min_length=1),
    AfterValidator(_distinct),
    BeforeValidator(_listed, json_schema_input_type=tuple[Seed, ...]),
]
"""Several seeds, each once."""


class Head(Spec):
    """What a recipe says of itself."""

    name: str = Field(min_length=1, max_length=200)
    """The MLflow experiment."""
    seed: Seed = 0
    """Seed of training and sampling; the questions have their own, `task.seed`."""
    seeds: Seeds | None = None
    """Instead of `seed`: the stages are run once for each of these, and figures are averaged over them."""
    storage: Storage | None = None
    """Folder for work in progress; default: `work` beside the MLflow store. The machines of a cluster may share it, or
    each has its own. A URL, such as s3://bucket/work: a copy is kept there too, so that a run can go on
    elsewhere if this machine is lost."""
    allow_format_change: bool = False
    """Use a model under another answer format than it was trained with; every report then says so."""
    limits: Limits = Limits()
    """What it must stay within, and what ends it early; none of it changes what is made."""

    @property
    def work_folder(self) -> Path | None:
        """The folder that `storage` names; None: it names none, or a URL."""
        return self.storage if isinstance(self.storage, Path) else None

    @property
    def work_url(self) -> str | None:
        """The URL that `storage` names."""
        return self.storage if isinstance(self.storage, str) else None

    @field_validator("name")
    @classmethod
    def _shown(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank: write a name")
        odd = next((c for c in value if category(c) in _NOT_SHOWN and c not in _JOINERS), None)
        if odd is not None:
            raise ValueError(f"holds {odd!r}, which cannot be shown: write the name in letters, digits and signs")
        return value

    @field_validator("storage")
    @classmethod
    def _possible(cls, value: Path | str | None) -> Path | str | None:
        for part in value.parts if isinstance(value, Path) else ():
            if "\0" in part:
                raise ValueError("holds a NUL character, which no path can: take it out")
            if (size := len(os.fsencode(part))) > _LONGEST:
                raise ValueError(f"{part[:40]!r}... has {size} bytes, and a folder's name has {_LONGEST} at most")
        return value
