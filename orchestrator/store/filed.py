"""What all stores have in common: the artifacts of their runs, and the outputs among them."""

from collections.abc import Iterable
from pathlib import Path

from orchestrator.store.artifacts import Artifacts
from orchestrator.store.base import Store, StoredRun
from orchestrator.store.drawn import drawn
from orchestrator.store.finished import finished
from orchestrator.store.names import Keyed
from orchestrator.store.outputs import StoredOutputs


class FiledStore(Store):
    """A store that keeps files in a folder per run."""

    _artifacts: Artifacts
    _outputs: StoredOutputs

    def finished(self, stages: Iterable[Keyed]) -> dict[str, str]:
        return finished(self, self._outputs, stages)

    def drawn(self, stages: Iterable[Keyed]) -> dict[str, str]:
        return drawn(self, self._outputs, stages)

    def artifact(self, run: str | StoredRun, name: str, *, fresh: bool = False) -> Path:
        if fresh:
            self._artifacts.forget(run, name)
        return self._artifacts.path(run, name)

    def output(self, run: str | StoredRun, name: str, full: bool = False) -> Path:
        return self._outputs.path(run, name, full)

    def address(self, run_id: str, name: str) -> str | None:
        return self._artifacts.address(run_id, name)
