"""A local store's database, read without MLflow, which takes seconds to load.

MLflow's tables of experiments, runs, tags, params and metrics are the same in all versions that orch works with;
`readable` checks that they are as expected here. Each query opens its own connection, which sees everything written
before it.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.errors import TrackingError
from orchestrator.store.base import StoredExperiment, StoredRun
from orchestrator.store.client import unreachable
from orchestrator.store.names import PARENT_TAG
from orchestrator.store.place import sqlite_uri

_PAGE = 500
"""Number of runs whose tags, params and metrics are read together."""
_PATIENCE = 20.0
"""Seconds to wait for another process to finish writing."""
_UNFINISHED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Error codes that a reader gets if a writer was killed."""
_ACTIVE = "lifecycle_stage = 'active'"
_RUNS = (
    "SELECT r.run_uuid, r.name, e.name, r.status, r.start_time, r.end_time, r.artifact_uri "
    "FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id"
)
_NEWEST_FIRST = "ORDER BY r.start_time DESC, r.run_uuid"
_ANY_OF = "IN (SELECT value FROM json_each(?))"
"""Takes its values as one JSON text, not as a list of placeholders, of which SQLite allows a thousand."""
_EXPERIMENTS = f"SELECT experiment_id, name FROM experiments WHERE {_ACTIVE} ORDER BY experiment_id DESC"
_EXPERIMENT_TAGS = "SELECT experiment_id, key, value FROM experiment_tags"
_TAGS = f"SELECT run_uuid, key, value FROM tags WHERE run_uuid {_ANY_OF}"
_PARAMS = f"SELECT run_uuid, key, value FROM params WHERE run_uuid {_ANY_OF}"
_METRICS = f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid {_ANY_OF}"
_HISTORY = "SELECT step, value, is_nan FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY timestamp, step"


class Database:
    """The database of a local store. Its methods raise TrackingError if it cannot be read."""

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()

    def readable(self) -> bool:
        """Whether it has the tables and columns that are read here."""
        try:
            return self._has_tables()
        except sqlite3.Error as error:
            return _code(error) == sqlite3.SQLITE_BUSY  # another process is writing

    def is_of_another(self) -> bool:
        """Whether it belongs to another program."""
        with suppress(sqlite3.Error), closing(self._opened("ro")) as opened:
            tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return bool(tables) and "experiments" not in tables
        return False

    def _has_tables(self) -> bool:
        with closing(self._opened("ro")) as opened:
            for query in (_EXPERIMENTS, _EXPERIMENT_TAGS, f"{_RUNS} WHERE r.{_ACTIVE}"):
                opened.execute(f"{query} LIMIT 0")
            for query in (_TAGS, _PARAMS, _METRICS):
                opened.execute(query, ("[]",))
            opened.execute(_HISTORY, ("", ""))
        return True

    def experiments(self) -> list[StoredExperiment]:
        """All experiments, newest first."""
        tags: dict[int, dict[str, str]] = {}
        for experiment_id, tag, text in self._read(_EXPERIMENT_TAGS):
            tags.setdefault(experiment_id, {})[tag] = text
        return [StoredExperiment(str(number), name, tags.get(number, {})) for number, name in self._read(_EXPERIMENTS)]

    def run(self, run_id: str) -> StoredRun | None:
        """The run with exactly this id, even if deleted."""
        return next(self._stored(self._read(f"{_RUNS} WHERE r.run_uuid = ?", run_id)), None)

    def runs(
        self,
        tags: Mapping[str, str | None] | None = None,
        *,
        status: str | None = None,
        experiments: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        begin: str = "",
        limit: int | None = None,
    ) -> Iterator[StoredRun]:
        """See `Store.runs`; `begin` is a prefix of the run ids."""
        terms, values = [f"r.{_ACTIVE}", f"e.{_ACTIVE}"], list[str | int]()
        for tag, text in (tags or {}).items():
            asked = "" if text is None else " AND t.value = ?"
            terms.append(f"EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = ?{asked})")
            values += [tag] if text is None else [tag, text]
        if status is not None:
            terms.append("r.status = ?")
            values.append(status)
        for column, wanted in (("e.name", experiments), ("r.run_uuid", ids)):
            if wanted is not None:
                terms.append(f"{column} {_ANY_OF}")
                values.append(json.dumps(sorted(wanted)))
        if begin:
            terms.append("substr(r.run_uuid, 1, ?) = ?")
            values += [len(begin), begin]
        values.append(-1 if limit is None else limit)
        yield from self._stored(self._read(f"{_RUNS} WHERE {' AND '.join(terms)} {_NEWEST_FIRST} LIMIT ?", *values))

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """The points of one curve: (step, value)."""
        return [(step, _number(value, is_nan)) for step, value, is_nan in self._read(_HISTORY, run_id, metric)]

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        """Set a tag on an experiment, as MLflow would.

        Raises:
            TrackingError: the database cannot be written.
        """
        row = "INSERT OR REPLACE INTO experiment_tags (experiment_id, key, value) VALUES (?, ?, ?)"
        try:
            with closing(self._opened("rw")) as opened, opened:
                opened.execute(row, (int(experiment_id), tag, text))
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _stored(self, rows: Sequence[Any]) -> Iterator[StoredRun]:
        """The runs of these rows; their tags, params and metrics are read lazily, one page at a time."""
        for begin in range(0, len(rows), _PAGE):
            page = rows[begin : begin + _PAGE]
            ids = json.dumps([row[0] for row in page])
            tags, params, metrics = (_by_run(self._read(query, ids)) for query in (_TAGS, _PARAMS, _METRICS))
            for run_id, name, experiment, status, started, ended, location in page:
                of_run = dict(tags.get(run_id, ()))
                yield StoredRun(
                    run_id=run_id,
                    name=name or "",
                    experiment=experiment,
                    status=status,
                    parent=of_run.get(PARENT_TAG),
                    started=(started or 0) / 1000,
                    ended=None if ended is None else ended / 1000,
                    location=location,
                    params=dict(params.get(run_id, ())),
                    metrics={key: _number(value, is_nan) for key, value, is_nan in metrics.get(run_id, ())},
                    tags=of_run,
                )

    def _read(self, query: str, *values: str | int) -> list[Any]:
        try:
            return self._rows("ro", query, values)
        except sqlite3.Error as error:
            if _code(error) not in _UNFINISHED:
                raise self._failed(error) from None
        try:  # a process was killed while writing: a connection that may write rolls back what that one began
            return self._rows("rw", query, values)
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _rows(self, mode: str, query: str, values: Sequence[str | int]) -> list[Any]:
        with closing(self._opened(mode)) as opened:
            return opened.execute(query, values).fetchall()

    def _opened(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(self._file))}?mode={mode}", uri=True, timeout=_PATIENCE)

    def _failed(self, error: sqlite3.Error) -> TrackingError:
        return TrackingError(unreachable(sqlite_uri(self._file), error))


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary error code; 0 if there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _by_run(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The other columns of each row, grouped by its first column."""
    found: dict[str, list[Any]] = {}
    for run_id, *rest in rows:
        found.setdefault(run_id, []).append(rest)
    return found


def _number(value: float, is_nan: int) -> float:
    return float("nan") if is_nan else value
