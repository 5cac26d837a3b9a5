"""Where the MLflow store is, and how processes take turns opening it. Knows nothing of mlflow, so it is fast."""

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
"""Characters that would end the path in a database URI or be read as an escape there."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else a SQLite file under ./mlruns; absolute, since mlflow keeps one store open per URI.

    Raises TrackingError if no store can have that name.
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
            f"{shown}: the name of a folder is not UTF-8, so no database can be opened there: rename it"
        ) from None
    return sqlite_uri(Path(folder) / "mlflow.db")


def sqlite_uri(file: Path) -> str:
    """The URI of a database file, as SQLAlchemy reads it."""
    return f"sqlite:///{str(file).translate(_QUOTED)}"


def database(uri: str) -> Path | None:
    """The file of a local store, its path decoded as SQLAlchemy does; None if the store is not such a file."""
    found = _SQLITE.match(uri)
    return Path(unquote(found["path"])) if found else None


def store_folder() -> Path:
    """The local folder of the store: that of its database, else ./mlruns."""
    file = database(tracking_uri())
    return DEFAULT_FOLDER if file is None else file.parent


def store_exists() -> bool:
    """False if the store is a local database that no run has created yet."""
    file = database(tracking_uri())
    return file is None or file.exists()


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Lock a local store while it is being opened: two processes that create its tables at once both fail."""
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
            with suppress(OSError):  # somebody else's, or never created
                empty.rmdir()


def _as_mlflow_reads(uri: str) -> Path:
    """The path in a URI as mlflow reads it, escapes and all, to create the folder of a database it opens elsewhere."""
    return Path(uri.partition(":///")[2])


def _missing(folder: Path) -> list[Path]:
    """The folder and its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
