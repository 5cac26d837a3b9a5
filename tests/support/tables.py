"""New MLflow stores in no time: MLflow creates the tables once, and they are copied from then on.

MLflow runs its whole history of migrations for every new store, which takes seconds of CPU time.
"""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.store.db import utils
from sqlalchemy import create_engine

_made_by_mlflow: Callable[[Any], None] = utils._initialize_tables


def copy_tables() -> None:
    """From now on, copy the tables of new stores in SQLite files."""
    utils._initialize_tables = _initialize


def _initialize(engine: Any) -> None:
    file = engine.url.database
    if engine.url.get_backend_name() != "sqlite" or not file or Path(file).stat().st_size:
        _made_by_mlflow(engine)
        return
    with closing(sqlite3.connect(":memory:")) as template, closing(sqlite3.connect(file)) as new:
        template.deserialize(tables())
        template.backup(new)


@cache
def tables() -> bytes:
    """An empty store: the bytes of its SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{file}")
        _made_by_mlflow(engine)
        engine.dispose()
        return file.read_bytes()
