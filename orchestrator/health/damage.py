"""Files of a run that are damaged or gone, each told by its name, so that a look at the rest goes on.

Reads the end of each file, loads no table and no model.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.types import Finding


def output_finding(stage: str, output: Path) -> Finding | None:
    """The finding for what a finished stage has made, where that is gone or cannot be read."""
    if not output.exists():
        return Finding(
            "output-missing",
            "error",
            f"stage {stage}: {output} is not there, though the stage is finished",
            f"{output.parent} holds: {_listed(output.parent)}",
            "it was deleted, or the folder of the artifacts was moved or copied in part",
            "copy it back, or run the recipe again: what is not there is made again",
        )
    if output.is_dir():
        return None  # a model, whose files are looked at one by one
    try:
        pq.read_metadata(output)
    except (pa.ArrowException, OSError) as error:
        return unreadable(stage, output, error)
    return None


def unreadable(stage: str, file: Path, error: Exception) -> Finding:
    """The finding for a file that cannot be read, with the reader's own words."""
    size = f"{file.stat().st_size:,} bytes; " if file.is_file() else ""
    return Finding(
        "output-damaged",
        "error",
        f"stage {stage}: {file} cannot be read",
        f"{size}{_first_line(error)}",
        "the file is cut off or was changed: a copy that broke off, a full disk, an editor",
        "copy it again, or delete the stage's run in MLflow and run the recipe again",
    )


def recipe_damaged(file: Path, problems: str) -> Finding:
    """The finding for a run whose own recipe cannot be read any more."""
    return Finding(
        "recipe-damaged",
        "error",
        f"the run's recipe cannot be read: {file}",
        problems,
        "the file is cut off or was changed, or it names what is gone; without it neither questions nor settings are "
        "known, so only curves and files are looked at",
        "copy it back from the recipe that was run",
    )


def not_looked_at(what: str, error: Exception) -> Finding:
    """The finding for a part of a diagnosis that came to no end."""
    return Finding(
        "look-failed",
        "error",
        f"{what} could not be looked at: {_first_line(error)}",
        f"{type(error).__name__}: {str(error)[:1000]}",
        "a file that belongs to it is damaged in a way that no check knows, or this machine lacks what it needs",
        "look at the files that the error names; the rest of the diagnosis stands",
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _listed(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
