"""The runs of a store, each asked for once: an experiment of a thousand runs is read in one go."""

from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.schema import unknown
from orchestrator.store.mlflow import Store
from orchestrator.store.place import store_exists, tracking_uri

_TOP = "run"
"""The verb of what `orch run` makes: of one seed, or of several."""


class PastRuns:
    """What is asked of the store for a comparison."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Any] = {}
        self._below: dict[str, dict[str, Any]] | None = None
        self.damaged: list[str] = []
        """What is said of each evaluation that was read so far and is not what it was: it is left out."""

    def find(self, wanted: str) -> Any:
        """The run of `orch run` with that id, or `last`; one below it stands for it.

        Raises:
            TrackingError: no such run.
        """
        run = self._store.find(None if wanted == "last" else wanted)
        while run.data.tags.get("orch.verb") != _TOP and "mlflow.parentRunId" in run.data.tags:
            if run.data.tags.get("orch.verb") == "seed":
                return run  # one seed of several may be asked for by itself
            run = self._store.find(run.data.tags["mlflow.parentRunId"])
        return run

    def experiments(self) -> list[str]:
        """The names of all experiments but the empty one that MLflow makes by itself."""
        return [name for name in self._store.experiments() if name != "Default"]

    def experiment(self, name: str) -> list[Any]:
        """The runs of `orch run` in an experiment, the newest first; all that stands below them is known from now on.

        Raises:
            InputError: no such experiment, or none of its runs was made by `orch run`.
        """
        names = self.experiments()
        if name not in names:
            raise InputError(unknown("experiment", name, names[:20]))
        runs = self._store.runs_of(name)
        self._known |= {run.info.run_id: run for run in runs}
        self._below = {} if self._below is None else self._below
        for run in reversed(runs):  # of two of one name the newer counts, as everywhere
            above = run.data.tags.get("mlflow.parentRunId")
            if above is not None:
                self._below.setdefault(above, {})[run.info.run_name] = run
        found = [run for run in runs if run.data.tags.get("orch.verb") == _TOP]
        if not found:
            raise InputError(f"the experiment {name!r} holds no run of `orch run`")
        return found

    def beside(self, run_id: str) -> list[Any]:
        """The runs of `orch run` in the experiment of one, the newest first."""
        runs = self._store.runs_of(self._store.experiment_of(run_id), _TOP)
        self._known |= {run.info.run_id: run for run in runs}
        return runs

    def children(self, run_id: str) -> dict[str, Any]:
        """The runs right below one, by name."""
        if self._below is not None and run_id in self._below:
            return self._below[run_id]
        return self._store.children(run_id)

    def artifact(self, run_id: str, name: str) -> Path:
        """Where one of a run's artifacts lies."""
        return self._store.artifact(run_id, name, self._known.get(run_id))

    def output(self, run_id: str, name: str) -> Path:
        """Where what a stage has made lies. Raises OutputError where it is not what it was."""
        return self._store.output(run_id, name, self._known.get(run_id))


def open_store() -> Store:
    """The store, where there is one. Raises InputError otherwise."""
    if not store_exists():
        raise InputError(f"there is no MLflow store at {tracking_uri()}; run a recipe first, or change to its folder")
    return Store()
