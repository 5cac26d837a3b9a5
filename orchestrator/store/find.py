"""The runs of a store, each requested only once: an experiment of a thousand runs is read in one go."""

from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.schema import unknown
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.names import VERB_TAG, WHOLE_RUN


class PastRuns:
    """The store's runs as a comparison needs them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, StoredRun] = {}
        self._below: dict[str, dict[str, StoredRun]] | None = None
        self.damaged: list[str] = []
        """A message for each evaluation read so far that has changed since it was written: it is left out."""

    def find(self, wanted: str) -> StoredRun:
        """The run of `orch run` with that id, or `last`; the id of a run below it works too.

        Raises:
            TrackingError: no such run.
        """
        run = self._store.find(None if wanted == "last" else wanted)
        while run.verb != WHOLE_RUN and run.parent is not None:
            if run.is_trial:
                return run  # one seed of several may be requested by itself
            run = self._store.find(run.parent)
        return run

    def experiments(self) -> list[str]:
        """The names of all experiments except the empty one that MLflow creates itself."""
        return [each.name for each in self._store.experiments() if each.name != "Default"]

    def experiment(self, name: str) -> list[StoredRun]:
        """The runs of `orch run` in an experiment, newest first; all runs below them are known from then on.

        Raises:
            InputError: no such experiment, or none of its runs was created by `orch run`.
        """
        names = self.experiments()
        if name not in names:
            raise InputError(unknown("experiment", name, names[:20]))
        runs = [*self._store.runs(experiments=[name])]
        self._known |= {run.run_id: run for run in runs}
        self._below = {} if self._below is None else self._below
        for run in reversed(runs):  # of two with the same name the newer one counts, as everywhere
            if run.parent is not None:
                self._below.setdefault(run.parent, {})[run.name] = run
        shared = {run.run_id: run.shared for run in runs if run.shared}
        missing = {one for each in shared.values() for one in each.values()} - self._known.keys()
        self._known |= {run.run_id: run for run in self._store.runs(ids=missing)} if missing else {}
        for run_id, named in shared.items():
            elsewhere = {name: self._known[one] for name, one in named.items() if one in self._known}
            self._below[run_id] = elsewhere | self._below.get(run_id, {})
        found = [run for run in runs if run.verb == WHOLE_RUN]
        if not found:
            raise InputError(f"the experiment {name!r} contains no runs of `orch run`")
        return found

    def beside(self, run_id: str) -> list[StoredRun]:
        """The runs of `orch run` in the same experiment as a run, newest first."""
        runs = [*self._store.runs({VERB_TAG: WHOLE_RUN}, experiments=[self._store.find(run_id).experiment])]
        self._known |= {run.run_id: run for run in runs}
        return runs

    def children(self, run_id: str) -> dict[str, StoredRun]:
        """The runs directly below a run, by name."""
        if self._below is not None and run_id in self._below:
            return self._below[run_id]
        return self._store.children(run_id)

    def artifact(self, run_id: str, name: str) -> Path:
        """The path of one of a run's artifacts."""
        return self._store.artifact(self._known.get(run_id, run_id), name)

    def output(self, run_id: str, name: str) -> Path:
        """The path of a stage's output. Raises OutputError if the output has changed."""
        return self._store.output(self._known.get(run_id, run_id), name)
