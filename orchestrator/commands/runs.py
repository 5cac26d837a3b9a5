"""`runs` as a function: list the runs and sweeps in the store, with their results."""

import heapq
import itertools
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from orchestrator.errors import InputError
from orchestrator.results import ModelResult
from orchestrator.runs.headline import headline_of
from orchestrator.schema import unknown
from orchestrator.store.base import STATES, RunState, Store, StoredRun
from orchestrator.store.names import SOURCE_TAG, SWEEP, VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import existing_store


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One `orch run` or `orch sweep`."""

    run_id: str
    experiment: str
    recipe: str
    """The recipe's file, as the user named it."""
    kind: Literal["run", "sweep"]
    state: RunState
    """A killed run stays `running` until the next run in its work folder notices."""
    started: float
    """Seconds since 1970."""
    seconds: float | None
    """Seconds from start to end; None: it has not ended."""
    seeds: tuple[int, ...]
    """The seeds, if there are several."""
    models: tuple[ModelResult, ...]
    """Results on the split that models are compared on; means if there are several seeds. For a sweep: the tested trial
    and the recipe's own values."""
    judged_by: str
    """How answers were parsed and judged, in words; empty for older runs."""
    error: str | None
    """Why it failed."""

    def as_json(self) -> dict[str, Any]:
        """One of the objects for `--json`."""
        return asdict(self)


def runs(experiment: str | None = None, state: RunState | None = None, limit: int | None = None) -> list[ListedRun]:
    """The runs and sweeps in the store, newest first, at most `limit`.

    Raises:
        InputError: there is no such experiment, or no such state.
        TrackingError: the store cannot be read.
    """
    if state is not None and state not in get_args(RunState):
        raise InputError(unknown("state", state, get_args(RunState)))
    status = next((mlflows for mlflows, ours in STATES.items() if ours == state), None)
    store = existing_store()
    names = [] if store is None else [one.name for one in store.experiments()]
    found = [] if store is None else _asked(store, status, experiment, limit)
    if experiment is not None and experiment not in names:
        raise InputError(unknown("experiment", experiment, names))
    return [_listed(run) for run in found]


def _asked(store: Store, status: str | None, experiment: str | None, limit: int | None) -> list[StoredRun]:
    """The runs and sweeps of a store, newest first, without those that are part of another run."""
    named = None if experiment is None else [experiment]
    found = [store.runs({VERB_TAG: verb}, status=status, experiments=named) for verb in (WHOLE_RUN, SWEEP)]
    merged = heapq.merge(*found, key=lambda run: -run.started)
    return list(itertools.islice((run for run in merged if run.parent is None), limit))


def _listed(run: StoredRun) -> ListedRun:
    return ListedRun(
        run.run_id,
        run.experiment,
        run.tags.get(SOURCE_TAG, ""),
        "sweep" if run.verb == SWEEP else "run",
        run.state,
        run.started,
        None if run.ended is None else run.ended - run.started,
        run.seeds,
        headline_of(run),
        run.judged_by() or "",
        run.error,
    )
