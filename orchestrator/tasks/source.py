"""Where the examples of one split come from, as a recipe says it, and the rows that are found there.

It must not know what a task makes of a row, nor which rows of one split are in another.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.tasks.columns import Columns
from orchestrator.tasks.files import Origin, origin_of
from orchestrator.tasks.hub import read_hub
from orchestrator.tasks.rows import Row, checked_rows, read_rows, select_rows

KINDS = ("generate", "file", "hub", "hold_out")
"""What a source may be; exactly one of them is given."""
_HUB_ONLY = ("config", "split", "revision")


class Source(BaseModel):
    """Where the examples of one split come from: exactly one of generate, file, hub and hold_out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generate: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    """Make this many with the task's own seeded generator."""
    file: Path | None = None
    """JSON, JSONL, CSV or parquet; its path counts from the folder of the recipe."""
    hub: Annotated[str, Field(min_length=1)] | None = None
    """A data set on the Hugging Face Hub, or a folder of data files."""
    config: str | None = None
    """Which of the Hub data set's configurations, where it has several: `main`."""
    split: Annotated[str, Field(min_length=1)] | None = None
    """Which of the Hub data set's splits; default: `test` for test, else `train`."""
    revision: str | None = None
    """Branch, tag or commit of the Hub data set."""
    columns: Columns = Columns()
    """Which columns hold what, where they have other names."""
    rows: str | None = None
    """Which rows of the file or the Hub split, as a Python slice: `800:`, `:800`, `-200:`."""
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
            raise ValueError("rows and columns are those of a file or a Hub data set: leave them out, or name one")
        stray = [name for name in _HUB_ONLY if getattr(self, name) is not None]
        if self.hub is None and stray:
            raise ValueError(f"{' and '.join(stray)}: only a Hub data set has this: leave it out, or name one with hub")
        return self

    def read(self, split: str, solutions: bool) -> tuple[list[Row], Origin]:
        """The rows that a file or a Hub data set holds for a split, and what messages call their place.

        `solutions`: worked solutions are looked for, whose column may be left unnamed.
        """
        if self.hub is not None:
            table, origin = read_hub(self.hub, self.config, self.split or _usual(split), self.revision, self.columns)
            rows = checked_rows(table, origin, self.columns, solutions)
        else:
            assert self.file is not None
            rows, origin = read_rows(self.file, self.columns, solutions), origin_of(self.file)
        return rows if self.rows is None else select_rows(rows, self.rows), origin


def _usual(split: str) -> str:
    """What the split of a Hub data set is mostly called: worked solutions are a part of its training questions."""
    return "test" if split == "test" else "train"
