"""The runs of a local store in short, read from its database without MLflow, which takes seconds to load.

For what a person waits for: `orch runs`, and completion in a shell. MLflow's tables of runs, tags and experiments are
the same in all of its versions that orch works with; where they cannot be read so, callers ask the store instead.
"""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from urllib.parse import quote

from orchestrator.store.base import StoredRun
from orchestrator.store.names import PARENT_TAG, VERB_TAG
from orchestrator.store.opening import store_in_use
from orchestrator.store.place import database, tracking_uri

_MOST = 500
"""Runs whose tags are read with one query; SQLite takes 999 values at least."""
_ACTIVE = "lifecycle_stage = 'active'"


class Unreadable(Exception):
    """The store is no local database, or not one with tables as they are known here."""


def listed_experiments() -> list[str]:
    """The names of all experiments. Raises Unreadable."""
    return [name for (name,) in _read(f"SELECT name FROM experiments WHERE {_ACTIVE} ORDER BY experiment_id DESC")]


def listed_runs(
    verbs: Collection[str], status: str | None = None, experiment: str | None = None, limit: int | None = None
) -> list[StoredRun]:
    """The runs of these verbs that are below no other, the newest first, at most `limit`; without params and metrics.

    Raises:
        Unreadable: ask the store.
    """
    marks = ", ".join("?" * len(verbs))
    where = [
        f"r.{_ACTIVE} AND e.{_ACTIVE}",
        f"EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = ? AND t.value IN ({marks}))",
        "NOT EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = ?)",
    ]
    values: list[str | int] = [VERB_TAG, *verbs, PARENT_TAG]
    for column, wanted in (("r.status", status), ("e.name", experiment)):
        if wanted is not None:
            where.append(f"{column} = ?")
            values.append(wanted)
    values.append(-1 if limit is None else limit)
    rows = _read(
        "SELECT r.run_uuid, r.name, e.name, r.status, r.start_time, r.end_time, r.artifact_uri FROM runs r "
        f"JOIN experiments e ON e.experiment_id = r.experiment_id WHERE {' AND '.join(where)} "
        "ORDER BY r.start_time DESC, r.run_uuid LIMIT ?",
        values,
    )
    tags = _tags([row[0] for row in rows])
    return [
        StoredRun(
            run_id=run_id,
            name=name or "",
            experiment=of,
            status=state,
            parent=None,
            started=(begun or 0) / 1000,
            ended=None if ended is None else ended / 1000,
            location=location,
            params={},
            metrics={},
            tags=tags.get(run_id, {}),
        )
        for run_id, name, of, state, begun, ended, location in rows
    ]


def _tags(ids: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for begin in range(0, len(ids), _MOST):
        some = ids[begin : begin + _MOST]
        marks = ", ".join("?" * len(some))
        for run_id, key, text in _read(f"SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({marks})", some):
            found.setdefault(run_id, {})[key] = text
    return found


def _read(query: str, values: Sequence[str | int] = ()) -> list[tuple]:  # type: ignore[type-arg]
    file = None if store_in_use() else database(tracking_uri())
    if file is None or not file.is_file():
        raise Unreadable
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True, timeout=5)) as opened:
            return opened.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise Unreadable from error
