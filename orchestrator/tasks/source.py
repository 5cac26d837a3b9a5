"""The source of one split's examples, as a recipe gives it, and the rows found there.

It must not know how a task interprets a row, nor which rows two splits share.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.tasks.columns import Columns
from orchestrator.tasks.files import Origin, origin_of
from orchestrator.tasks.hub import read_hub
from orchestrator.tasks.rows import Row, checked_rows, read_rows, select_rows

KINDS = ("generate", "file", "hub", "hold_out")
"""The kinds of source, of which exactly one is given."""
_HUB_ONLY = ("config", "split", "revision")


class Source(BaseModel):
    """The source of one split's examples: exactly one of generate, file, hub and hold_out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generate: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    """Generate this many with the task's own seeded generator."""
    file: Path | None = None
    """JSON, JSONL, CSV or parquet; the path is relative to the recipe's folder."""
    hub: Annotated[str, Field(min_length=1)] | None = None
    """A data set on the Hugging Face Hub, or a folder of data files."""
    config: str | None = None
    """Which of the Hub data set's configurations to use, if it has several: `main`."""
    split: Annotated[str, Field(min_length=1)] | None = None
    """Which of the Hub data set's splits to use; default: `test` for test, else `train`."""
    revision: str | None = None
    """Branch, tag or commit of the Hub data set."""
    columns: Columns = Columns()
    """The columns to use, if their names are not the default ones."""
    rows: str | None = None
    """Which rows of the file or the Hub split to use, as a Python slice: `800:`, `:800`, `-200:`."""
    hold_out: Annotated[int, Field(gt=0)] | None = None
    """Set this many of train's questions aside for this split; train keeps the rest."""

    @model_validator(mode="after")
    def _is_one(self) -> "Source":
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]}, not {' and '.join(given) or 'none'}"
            )
        if self.file is None and self.hub is None and (self.rows is not None or self.columns != Columns()):
            raise ValueError("rows and columns apply only to a file or a Hub data set: leave them out, or name one")
        stray = [name for name in _HUB_ONLY if getattr(self, name) is not None]
        if self.hub is None and stray:
            raise ValueError(f"{' and '.join(stray)}: only a Hub data set has this: leave it out, or name one with hub")
        return self

    def read(self, split: str, solutions: bool) -> tuple[list[Row], Origin]:
        """The rows of a file or a Hub data set for a split, and their origin, for use in messages.

        `solutions`: worked solutions are expected, whose column may be left unnamed.
        """
        if self.hub is not None:
            table, origin = read_hub(self.hub, self.config, self.split or _usual(split), self.revision, self.columns)
            rows = checked_rows(table, origin, self.columns, solutions)
        else:
            assert self.file is not None
            rows, origin = read_rows(self.file, self.columns, solutions), origin_of(self.file)
        return rows if self.rows is None else select_rows(rows, self.rows), origin


def _usual(split: str) -> str:
    """The usual name of a Hub data set's split: worked solutions are part of its training questions."""
    return "test" if split == "test" else "train"
