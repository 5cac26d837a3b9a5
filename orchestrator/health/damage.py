"""Damaged or missing files of a run, each reported by name, so that the rest can still be examined.

Reads only the end of each file; loads no table and no model.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.types import Finding


def output_finding(stage: str, output: Path) -> Finding | None:
    """The finding for a finished stage's output that is missing or cannot be read."""
    if not output.exists():
        return Finding(
            "output-missing",
            "error",
            f"stage {stage}: {output} is missing, although the stage is finished",
            f"contents of {output.parent}: {_listed(output.parent)}",
            "it was deleted, or the artifact folder was moved or only partly copied",
            "copy it back, or run the recipe again, which recreates what is missing",
        )
    if output.is_dir():
        return None  # a model, whose files are checked one by one
    try:
        pq.read_metadata(output)
    except (pa.ArrowException, OSError) as error:
        return unreadable(stage, output, error)
    return None


def unreadable(stage: str, file: Path, error: Exception) -> Finding:
    """The finding for a file that cannot be read, with the reader's own message."""
    size = f"{file.stat().st_size:,} bytes; " if file.is_file() else ""
    return Finding(
        "output-damaged",
        "error",
        f"stage {stage}: {file} cannot be read",
        f"{size}{_first_line(error)}",
        "the file is truncated or was changed: an interrupted copy, a full disk, an editor",
        "copy it again, or delete the stage's run in MLflow and run the recipe again",
    )


def recipe_damaged(file: Path, problems: str) -> Finding:
    """The finding for a run whose own recipe can no longer be read."""
    return Finding(
        "recipe-damaged",
        "error",
        f"the run's recipe cannot be read: {file}",
        problems,
        "the file is truncated or was changed, or it names something that is gone; without it, neither questions nor "
        "settings are known, so only curves and files are examined",
        "restore it from the recipe that was run",
    )


def not_looked_at(what: str, error: Exception) -> Finding:
    """The finding for a part of a diagnosis that failed."""
    return Finding(
        "look-failed",
        "error",
        f"{what} could not be examined: {_first_line(error)}",
        f"{type(error).__name__}: {str(error)[:1000]}",
        "one of its files is damaged in a way that no check knows, or this machine lacks something it needs",
        "look at the files that the error names; the rest of the diagnosis is valid",
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _listed(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
