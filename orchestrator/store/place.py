"""Where the MLflow store is, and how two processes open it in turn. Knows nothing of mlflow, so asking is quick."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from orchestrator.errors import TrackingError

DEFAULT_FOLDER = Path("mlruns")
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]*)(?:\?(?P<query>.*))?")
_QUOTED = str.maketrans({"%": "%25", "?": "%3F"})
"""What ends the path in a database's URI, or is read as a quoted character there."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else a SQLite file under ./mlruns; absolute, as mlflow keeps one store open per URI.

    Raises TrackingError where there can be no store of that name.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        found = _SQLITE.match(given)
        if found and "/" in (found["query"] or ""):
            raise TrackingError(
                f"MLFLOW_TRACKING_URI is {given}: what follows the ? is read as settings; write the ? of "
                "a folder's name as %3F"
            )
        return given
    folder = str(DEFAULT_FOLDER.absolute())
    try:
        folder.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(folder).decode(errors="replace")
        raise TrackingError(
            f"{shown}: the name of a folder is not UTF-8, and no database can be opened there: rename it"
        ) from None
    return sqlite_uri(Path(folder) / "mlflow.db")


def sqlite_uri(file: Path) -> str:
    """The URI of a database in a file, as SQLAlchemy reads it."""
    return f"sqlite:///{str(file).translate(_QUOTED)}"


def database(uri: str) -> Path | None:
    """The file of a local store, with its path read as SQLAlchemy reads it; None where the store is no such file."""
    found = _SQLITE.match(uri)
    return Path(unquote(found["path"])) if found else None


def store_folder() -> Path:
    """The local folder of the store: beside its database, else ./mlruns."""
    file = database(tracking_uri())
    return DEFAULT_FOLDER if file is None else file.parent


def store_exists() -> bool:
    """False where the store is a local database that no run has made yet."""
    file = database(tracking_uri())
    return file is None or file.exists()


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold a local store for as long as it is opened: two processes that make its tables at once both fail."""
    file = database(uri)
    if file is None:
        yield
        return
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "opening.lock")
        lock.acquire()
    except OSError as error:
        raise TrackingError(f"the MLflow store {folder} cannot be written: {error.strerror}") from None
    stray = _missing(_as_mlflow_reads(uri).parent)
    try:
        yield
    finally:
        lock.release()
        for empty in stray:
            with suppress(OSError):  # somebody else's, or not made at all
                empty.rmdir()


def _as_mlflow_reads(uri: str) -> Path:
    """The path in a URI as mlflow takes it, quoted characters and all, to make the folder of a database that it opens
    elsewhere."""
    return Path(uri.partition(":///")[2])


def _missing(folder: Path) -> list[Path]:
    """A folder and those above it that are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
