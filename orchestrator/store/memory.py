"""An in-memory store for tests: behaves like `MlflowStore`, without its database.

Files are kept in a folder that the caller provides.
"""

import json
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.errors import RefusalError
from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import StoredExperiment, StoredRun
from orchestrator.store.filed import FiledStore
from orchestrator.store.legal_names import params_of, tags_of
from orchestrator.store.names import ERROR_TAG, PARENT_TAG, PROCESS_TAG
from orchestrator.store.outputs import StoredOutputs
from orchestrator.types import DataUsed


@dataclass
class _Run:
    """A run being written."""

    run_id: str
    name: str
    experiment: str
    folder: Path
    params: dict[str, str]
    tags: dict[str, str]
    status: str = "RUNNING"
    started: float = field(default_factory=time.time)
    ended: float | None = None
    points: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)
    """For each metric: (step, milliseconds, value)."""
    data: list[DataUsed] = field(default_factory=list)

    def stored(self) -> StoredRun:
        return StoredRun(
            run_id=self.run_id,
            name=self.name,
            experiment=self.experiment,
            status=self.status,
            parent=self.tags.get(PARENT_TAG),
            started=self.started,
            ended=self.ended,
            location=str(self.folder),
            params=dict(self.params),
            metrics={name: max(points)[2] for name, points in self.points.items()},
            tags=dict(self.tags),
        )


class MemoryStore(FiledStore):
    """An in-memory store whose files are kept below a folder."""

    def __init__(self, folder: Path) -> None:
        self.process: str | None = None
        self.title = "the store"
        self._folder = folder.absolute()
        self._experiments: dict[str, dict[str, str]] = {}
        """Experiment tags by name; an experiment's id is its name."""
        self._runs: dict[str, _Run] = {}
        """By id, oldest first."""
        self._artifacts = Artifacts(lambda run_id: self._run(run_id).stored(), lambda: None, self._folder / "downloads")
        self._outputs = StoredOutputs(self._artifacts)

    # -- reading ---------------------------------------------------------------------------------------------------

    def runs(
        self,
        tags: Mapping[str, str | None] | None = None,
        *,
        status: str | None = None,
        experiments: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRun]:
        fitting = [
            run.stored()
            for run in reversed([*self._runs.values()])
            if status in (None, run.status)
            and (experiments is None or run.experiment in experiments)
            and (ids is None or run.run_id in ids)
            and all(tag in run.tags and text in (None, run.tags[tag]) for tag, text in (tags or {}).items())
        ]
        return iter(fitting[:limit])

    def with_id(self, run_id: str) -> StoredRun | None:
        return self._runs[run_id].stored() if run_id in self._runs else None

    def beginning(self, part: str) -> list[StoredRun]:
        return [run.stored() for run_id, run in self._runs.items() if run_id.startswith(part)]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(step, value) for step, _, value in self._run(run_id).points.get(metric, ())]

    def experiments(self) -> list[StoredExperiment]:
        return [StoredExperiment(name, name, dict(tags)) for name, tags in reversed(self._experiments.items())]

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        self._experiments.setdefault(name, {})
        return name

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        self._experiments[experiment_id][tag] = text

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        run_id = uuid4().hex
        all_tags = tags_of(tags) | ({} if self.process is None else {PROCESS_TAG: self.process})
        self._runs[run_id] = _Run(run_id, name, experiment_id, self._folder / run_id, {}, all_tags)
        self._runs[run_id].folder.mkdir(parents=True)
        self.log_params(run_id, params)
        return run_id

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        self._run(run_id).params |= params_of(params)

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        self.log_points(run_id, [{"metrics": metrics, "step": 0, "time": int(time.time() * 1000)}])
        self._run(run_id).tags.update(tags_of(tags or {}))

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        points = self._run(run_id).points
        for record in records:
            for name, value in record["metrics"].items():
                points.setdefault(name, []).append((record["step"], record["time"], float(value)))

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        self.log(run_id, metrics)

    def log_data(self, run_id: str, data: DataUsed) -> None:
        self._run(run_id).data.append(data)

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        file = self._run(run_id).folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        table = {"columns": [*rows[0]], "data": [[str(row[key]) for key in rows[0]] for row in rows]}
        file.write_text(json.dumps(table), encoding="utf-8")

    def log_folder(self, run_id: str, folder: Path, output: str | None = None) -> dict[str, str]:
        digests = {} if output is None else self._outputs.record(folder, output)
        shutil.copytree(folder, self._run(run_id).folder, dirs_exist_ok=True)
        return digests

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        run = self._run(run_id)
        if error is not None:
            run.tags |= tags_of({ERROR_TAG: error})
        run.status, run.ended = status, time.time()

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise RefusalError(f"the store rejected the request: it has no run {run_id}")
        return self._runs[run_id]
