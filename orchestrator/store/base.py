"""The store interface that the rest of orch uses: runs with params, metrics, tags and files, as plain data.

`StoredRun` is a snapshot of one run; `Store` is the protocol that `mlflow.py`, `local.py` and, for tests, `memory.py`
implement. They raise TrackingError if the store cannot be reached or written.
"""

import json
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol

from orchestrator.errors import TrackingError
from orchestrator.store import names
from orchestrator.store.client import Patience
from orchestrator.store.names import Keyed, evaluation_tag
from orchestrator.types import DataUsed

RunState = Literal["running", "finished", "failed", "interrupted"]
STATES: Mapping[str, RunState] = {
    "RUNNING": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
}
"""Run states by MLflow status. A killed run stays `running` until the next run there notices."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as read from the store."""

    run_id: str
    name: str
    experiment: str
    """The name of its experiment."""
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    parent: str | None
    """The id of its parent run."""
    started: float
    """Seconds since 1970."""
    ended: float | None
    """None: it is still open."""
    location: str
    """Where its artifacts are: a path or a URI."""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The latest value of each."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> "RunState":
        """Its state in orch's terms."""
        return STATES.get(self.status, "running")

    @property
    def verb(self) -> str:
        """A stage's verb, or `run` or `trial` for a run above stages; empty if orch did not create the run."""
        return self.tags.get(names.VERB_TAG, "")

    @property
    def is_stage(self) -> bool:
        """Whether it is below a run of `orch run` and is not one of its trials."""
        return self.parent is not None and self.verb != names.WHOLE_RUN and not self.is_trial

    @property
    def is_trial(self) -> bool:
        """Whether it is the run of one of several trials."""
        return self.verb in (names.TRIAL, names.OLDER_TRIAL)

    @property
    def is_swept(self) -> bool:
        """Whether it is the run of a sweep's trial."""
        return self.verb == names.SWEPT

    @property
    def label(self) -> Mapping[str, Any]:
        """The settings that its trial changes in the recipe; empty if there are no trials."""
        text = self.tags.get(names.TRIAL_TAG)
        if text is not None:
            return dict(json.loads(text))
        return {"seed": self.seed} if self.is_trial else {}

    @property
    def shared(self) -> dict[str, str]:
        """Runs elsewhere that a trial's run refers to as its own stages: ids by name."""
        prefix = names.SHARED_TAG
        return {name.removeprefix(prefix): text for name, text in self.tags.items() if name.startswith(prefix)}

    @property
    def key(self) -> str:
        """The key of its stage; empty if there is none."""
        return self.tags.get(names.KEY_TAG, "")

    @property
    def model(self) -> str | None:
        """The model that its stage produced or evaluated."""
        return self.tags.get(names.MODEL_TAG)

    @property
    def seed(self) -> int | None:
        """The seed it ran with; None above several seeds, and for runs that orch did not create."""
        text = self.tags.get(names.SEED_TAG)
        return None if text is None else int(text)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, on a run above several."""
        return tuple(int(text) for text in self.tags.get(names.SEEDS_TAG, "").split(",") if text)

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.tags.get(names.ERROR_TAG)

    @property
    def origin(self) -> str:
        """The run that produced its stage's output: itself unless the output is reused."""
        return names.origin_of(self.tags) or self.run_id

    def evaluation_key(self, also: str | None = None) -> str | None:
        """The key of its model's evaluation, or of the evaluation on a further split; None if there is none."""
        return self.tags.get(evaluation_tag(names.EVALUATION_KEY_TAG, also))

    def evaluation_origin(self, also: str | None = None) -> str:
        """The run that contains the results of its model's evaluation: itself unless they are reused."""
        return names.evaluation_origin_of(self.tags, also) or self.run_id

    @property
    def splits(self) -> list[str]:
        """The further splits that its model was evaluated on."""
        return names.further_splits(self.tags)

    def recipe_digest(self, also: str | None = None) -> str | None:
        """Equal for evaluations that differ only in the seed; None for older runs."""
        return self.tags.get(evaluation_tag(names.RECIPE_TAG, also))

    def judging_digest(self, also: str | None = None) -> str | None:
        """Equal for evaluations whose answers were prompted for, parsed and judged alike; None for older runs."""
        return self.tags.get(evaluation_tag(names.JUDGING_TAG, also))

    def judged_by(self, also: str | None = None) -> str | None:
        """How answers were parsed and judged, as text; None for older runs."""
        return self.tags.get(evaluation_tag(names.JUDGED_BY_TAG, also))

    @property
    def base(self) -> str:
        """The whole model under any adapters; empty if unknown."""
        return self.tags.get(names.BASE_TAG, "")

    @property
    def chosen(self) -> str:
        """Why a training selected its checkpoint; empty if it had no choice."""
        return self.tags.get(names.CHOSEN_TAG, "")

    @property
    def chosen_step(self) -> int | None:
        """The step of the selected checkpoint."""
        step = self.metrics.get(names.CHOSEN_STEP)
        return None if step is None else int(step)

    @property
    def commit(self) -> str | None:
        """The git commit of the surrounding code."""
        return self.tags.get(names.COMMIT_TAG)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the packages it ran with, by package."""
        prefix = names.VERSION_TAG
        return {name.removeprefix(prefix): text for name, text in self.tags.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """One experiment as read from the store."""

    experiment_id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """A store. The methods below the last divider are built on those above it."""

    process: str | None
    """Marks the runs that are started, so that others can tell when the process writing them is gone."""
    title: str
    """Its name in messages."""
    writers: int = 1
    """Number of threads that may write to it concurrently."""
    patience: Patience | None = None
    """How a run waits for a store that does not respond; None: it does not wait."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def finished(self, stages: Iterable[Keyed]) -> dict[str, str]:
        """For each finished key: the run whose artifacts contain the output. Deleted outputs do not count.

        Raises:
            OutputError: outputs that have changed since they were written, each named.
        """
        ...

    def drawn(self, stages: Iterable[Keyed]) -> dict[str, str]:
        """For each key whose completions exist, though judged differently or fewer: the run that has the most."""
        ...

    def runs(
        self,
        tags: Mapping[str, str | None] | None = None,
        *,
        status: str | None = None,
        experiments: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRun]:
        """All matching runs, newest first, or at most `limit` of them. Deleted runs are left out.

        Args:
            tags: the value of each tag, or None for any value.
            experiments: names; default: all.
        """
        ...

    def with_id(self, run_id: str) -> StoredRun | None:
        """The run with exactly this id, even if deleted; None if there is none."""
        ...

    def beginning(self, part: str) -> list[StoredRun]:
        """The runs whose ids start with these letters and digits."""
        ...

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """The points of one curve: (step, value)."""
        ...

    def artifact(self, run: str | StoredRun, name: str, *, fresh: bool = False) -> Path:
        """The path of one of a run's artifacts, or of a copy if the store is remote; it may not exist.

        `fresh`: the artifact may have been rewritten since it was copied.
        """
        ...

    def output(self, run: str | StoredRun, name: str, full: bool = False) -> Path:
        """Like `artifact`, for a stage's output, which is checked for changes; with `full` all content is read.

        Raises:
            OutputError: the output has changed.
        """
        ...

    def address(self, run_id: str, name: str) -> str | None:
        """The location of one of a run's files: a path, or a URI if the store is remote; None if there is none."""
        ...

    def experiments(self) -> list[StoredExperiment]:
        """All experiments, newest first."""
        ...

    # -- writing ---------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """The id of the experiment with that name, created if necessary."""
        ...

    def tag_experiment(self, experiment_id: str, tag: str, text: str) -> None:
        """Set a tag on an experiment."""
        ...

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> str:
        """Start a run and return its id."""
        ...

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log settings, nested ones under dotted keys."""
        ...

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        """Log single values and tags."""
        ...

    def log_points(self, run_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Log points of training curves in the journal's format: `metrics`, `step`, and `time` in milliseconds."""
        ...

    def log_evaluation(
        self, run_id: str, model: str, metrics: Mapping[str, float], data: DataUsed, tags: Mapping[str, str]
    ) -> None:
        """Log an evaluation's figures in the run of its model and in the store's list of models."""
        ...

    def log_data(self, run_id: str, data: DataUsed) -> None:
        """Log a dataset the run wrote or read, with its source and digest; a bare file name is one of its artifacts."""
        ...

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Log a human-readable table as an artifact; all rows have the keys of the first."""
        ...

    def log_folder(self, run_id: str, folder: Path, output: str | None = None) -> dict[str, str]:
        """Log all files below a folder as artifacts.

        `output` names the stage's output among them. Returns the tags that record its content, which `Store.output`
        checks it against: log them together with its key.
        """
        ...

    def end(self, run_id: str, status: str, error: str | None = None) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        ...

    # -- built on these --------------------------------------------------------------------------------------------

    def find(self, wanted: str | None) -> StoredRun:
        """The run a user names by its id, by a prefix of the id, or by an experiment, for the newest run in it.

        Without a name: the recipe run that was started or requested last.

        Raises:
            TrackingError: there is none, or the prefix matches several.
        """
        if wanted is None:
            if (newest := self.last()) is None:
                if any(self.runs({names.VERB_TAG: names.SWEEP}, limit=1)):
                    raise TrackingError(
                        f"{self.title} contains only sweeps: name one that `orch runs` lists, or see its trials with "
                        "`orch compare --sweep`"
                    )
                raise TrackingError(f"{self.title} contains no runs; create one with `orch run RECIPE`")
            return newest
        if (exact := self.with_id(wanted)) is not None:
            return exact
        called = [experiment.name for experiment in self.experiments()]
        if wanted in called and (newest := self._newest(wanted)) is not None:
            return newest
        fitting = self.beginning(wanted) if wanted.isalnum() else []
        if len(fitting) > 1:
            raise TrackingError(f"{len(fitting)} runs begin with {wanted!r}: give more of the id")
        if not fitting:
            close = get_close_matches(wanted, called, n=1, cutoff=0.5)
            guess = f"did you mean {close[0]!r}, an experiment? " if close else ""
            raise TrackingError(f"no run {wanted!r} in {self.title}; {guess}`orch runs` lists them all")
        return fitting[0]

    def _newest(self, experiment: str) -> StoredRun | None:
        """The newest recipe run or sweep of an experiment."""
        found = [
            run
            for verb in (names.WHOLE_RUN, names.SWEEP)
            for run in self.runs({names.VERB_TAG: verb}, experiments=[experiment], limit=1)
        ]
        return max(found, key=lambda run: run.started, default=None)

    def children(self, parent: str) -> dict[str, StoredRun]:
        """The runs under a parent and those it refers to, by name, oldest first.

        Of two runs with the same name the newer one counts; runs under the parent take precedence.
        """
        own = {run.name: run for run in reversed([*self.runs({names.PARENT_TAG: parent})])}
        shared = self.find(parent).shared
        elsewhere = {run.run_id: run for run in self.runs(ids=set(shared.values()))} if shared else {}
        return {name: elsewhere[run_id] for name, run_id in shared.items() if run_id in elsewhere} | own

    def asked_again(self, run: StoredRun) -> None:
        """Record that a finished run was requested again: from now on it is the last one."""
        experiment = self.experiment(run.experiment)
        self.tag_experiment(experiment, names.ASKED_TAG, f"{time.time():.6f} {run.run_id}")

    def last(self) -> StoredRun | None:
        """The recipe run that was started or requested last; None if there is none."""
        newest = next(iter(self.runs({names.VERB_TAG: names.WHOLE_RUN}, limit=1)), None)
        asked = [e.tags[names.ASKED_TAG].split() for e in self.experiments() if names.ASKED_TAG in e.tags]
        later = {run_id: float(at) for at, run_id in asked if newest is None or float(at) >= newest.started}
        runs = sorted(self.runs(ids=set(later)), key=lambda run: later[run.run_id]) if later else []
        return runs[-1] if runs else newest

    def log_file(self, run_id: str, content: str | bytes, name: str) -> None:
        """Log one artifact; characters that UTF-8 cannot encode are replaced."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)
            self.log_folder(run_id, Path(folder))

    def close_runs(self, process: str, status: str, error: str) -> None:
        """Close the runs that a process started and left open, newest first; skip any that cannot be closed."""
        for run in [*self.runs({names.PROCESS_TAG: process}, status="RUNNING")]:
            with suppress(TrackingError):
                self.end(run.run_id, status, error)
